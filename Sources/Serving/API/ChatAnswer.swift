import Foundation
import Formats
import Generation

/// The documents that answer `POST /v1/chat/completions`.
struct ChatAnswer: Answer {
  let request: ChatRequest
  let model: ModelInfo
  private let id = "chatcmpl-" + randomName()
  private let created = Int(Date().timeIntervalSince1970)

  init(request: ChatRequest, model: ModelInfo) {
    self.request = request
    self.model = model
  }

  func whole(_ texts: [ChoiceText], _ usage: Usage) -> JSON {
    let choices = texts.enumerated().map { index, answer in
      choice(
        index, "message", ["role": "assistant", "content": .string(answer.text), "refusal": nil], answer.tokens,
        answer.reason)
    }
    return frame("chat.completion", id: id, created: created, model: model, choices: choices, usage: usage.json)
  }

  func chunk(_ choices: [JSON], usage: JSON?) -> JSON {
    frame("chat.completion.chunk", id: id, created: created, model: model, choices: choices, usage: usage)
  }

  /// The first piece of each answer names who speaks.
  func pieces(_ output: Output) -> [JSON] {
    switch output {
    case .prompt:
      return (0..<request.common.choices).map {
        choice($0, "delta", ["role": "assistant", "content": "", "refusal": nil], [], nil)
      }
    case .piece(let index, let piece):
      if piece.text.isEmpty, piece.tokens.allSatisfy(\.isEnd) { return [] }
      return [choice(index, "delta", ["content": .string(piece.text)], piece.tokens, nil)]
    case .finished(let index, let reason): return [choice(index, "delta", [:], [], reason)]
    case .vectors: return []
    }
  }

  private func choice(
    _ index: Int, _ key: String, _ content: JSON, _ tokens: [TokenScore], _ reason: GenerationResult.FinishReason?
  ) -> JSON {
    var members = JSONObject()
    members["index"] = JSON(index)
    members[key] = content
    members["logprobs"] = request.top == nil ? .null : logprobs(tokens)
    members["finish_reason"] = reason.map { .string($0.rawValue) } ?? .null
    return .object(members)
  }

  /// One entry for each token of the text; the end of the answer has none.
  private func logprobs(_ tokens: [TokenScore]) -> JSON {
    let content = tokens.filter { !$0.isEnd }.map { token in
      var members = entry(token.id, token.logProbability)
      members["top_logprobs"] = JSON(token.alternatives.map { .object(entry($0.id, $0.logProbability)) })
      return JSON.object(members)
    }
    return ["content": .array(content), "refusal": nil]
  }

  private func entry(_ id: Int32, _ logProbability: Double?) -> JSONObject {
    var members = JSONObject()
    members["token"] = .string(model.text(of: id))
    members["logprob"] = logProbability.map { .number($0) } ?? .null
    members["bytes"] = model.bytes(of: id).map { JSON($0.map { JSON($0) }) } ?? .null
    return members
  }
}
