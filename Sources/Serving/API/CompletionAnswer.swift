import Foundation
import Formats
import Generation

/// The documents that answer `POST /v1/completions`.
struct CompletionAnswer: Answer {
  let request: CompletionRequest
  let model: ModelInfo
  /// What each answer begins with, for each prompt.
  private let echoes: [String]
  private let id = "cmpl-" + randomName()
  private let created = Int(Date().timeIntervalSince1970)

  init(request: CompletionRequest, model: ModelInfo) {
    self.request = request
    self.model = model
    echoes = request.prompts.map { request.echo ? model.text(of: $0) : "" }
  }

  func whole(_ texts: [ChoiceText], _ usage: Usage) -> JSON {
    let choices = texts.enumerated().map { index, answer in
      choice(
        index, text: echo(before: index) + answer.text, tokens: shifted(answer.tokens, index), reason: answer.reason)
    }
    return chunk(choices, usage: usage.json)
  }

  func chunk(_ choices: [JSON], usage: JSON?) -> JSON {
    frame("text_completion", id: id, created: created, model: model, choices: choices, usage: usage)
  }

  func pieces(_ output: Output) -> [JSON] {
    switch output {
    case .prompt(let index, let tokens):
      guard request.echo else { return [] }
      let choices = request.common.choices
      return (index * choices..<(index + 1) * choices).map { choice in
        self.choice(choice, text: echoes[index], tokens: tokens, reason: nil)
      }
    case .piece(let index, let piece):
      if piece.text.isEmpty, piece.tokens.isEmpty { return [] }
      return [choice(index, text: piece.text, tokens: shifted(piece.tokens, index), reason: nil)]
    case .finished(let index, let reason): return [choice(index, text: "", tokens: [], reason: reason)]
    case .vectors: return []
    }
  }

  private func echo(before choice: Int) -> String { echoes[choice / request.common.choices] }

  /// Tokens of an answer begin behind the prompt that it repeats; the prompt's own stay where they are.
  private func shifted(_ tokens: [TokenScore], _ choice: Int) -> [TokenScore] {
    let shift = echo(before: choice).unicodeScalars.count
    return tokens.map { token in
      var token = token
      if !token.isPrompt { token.offset += shift }
      return token
    }
  }

  private func choice(
    _ index: Int, text: String, tokens: [TokenScore], reason: GenerationResult.FinishReason?
  ) -> JSON {
    [
      "text": .string(text), "index": JSON(index), "logprobs": request.top == nil ? .null : logprobs(tokens),
      "finish_reason": reason.map { .string($0.rawValue) } ?? .null,
    ]
  }

  /// Parallel lists. The token itself is always among the alternatives.
  private func logprobs(_ tokens: [TokenScore]) -> JSON {
    [
      "tokens": JSON(tokens.map { .string(model.text(of: $0.id)) }),
      "token_logprobs": JSON(tokens.map { $0.logProbability.map { .number($0) } ?? .null }),
      "top_logprobs": JSON(
        tokens.map { token in
          guard let own = token.logProbability else { return .null }
          var members = JSONObject()
          for other in token.alternatives { members[model.text(of: other.id)] = .number(other.logProbability) }
          members[model.text(of: token.id)] = .number(own)
          return .object(members)
        }),
      "text_offset": JSON(tokens.map { JSON($0.offset) }),
    ]
  }
}

/// Tokens that a request took.
struct Usage: Equatable {
  var prompt: Int
  var completion = 0

  var json: JSON {
    [
      "prompt_tokens": JSON(prompt), "completion_tokens": JSON(completion),
      "total_tokens": JSON(prompt + completion),
    ]
  }
}

func frame(
  _ object: String, id: String, created: Int, model: ModelInfo, choices: [JSON], usage: JSON?
) -> JSON {
  var members = JSONObject()
  members["id"] = .string(id)
  members["object"] = .string(object)
  members["created"] = JSON(created)
  members["model"] = .string(model.name)
  members["choices"] = JSON(choices)
  if let usage { members["usage"] = usage }
  return .object(members)
}

/// 24 letters and digits that nobody had before.
func randomName() -> String {
  let letters = Array("0123456789abcdefghijklmnopqrstuvwxyz")
  return String((0..<24).compactMap { _ in letters.randomElement() })
}
