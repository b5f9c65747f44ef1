import Corpus
import Models
import Tokenization
import Training

/// Prompts with answers to learn: questions, summaries, conversations.
struct AnswerData: FinetuneData {
  let model: ModelConfig
  private let train: [AnswerExample]
  private let val: [AnswerExample]

  init(
    _ request: FinetuneRun.Request, model: ModelConfig, tokenizer: Tokenizer, chatTemplate template: ChatTemplate
  ) throws {
    guard !model.isBidirectional, !model.isClassifier else {
      throw CommandError(
        "\(request.model): \(model.isClassifier ? "a classifier" : "the architecture '\(model.architecture.rawValue)'") "
          + "can't write answers; --task \(request.kind.rawValue) needs a language model of one of "
          + ModelConfig.Architecture.decoders.map(\.rawValue).joined(separator: ", "))
    }
    guard let endOfText = tokenizer.endOfText else { throw CorpusError.noEndOfText(path: request.model) }
    self.model = model
    let encoder = Encoder(tokenizer)
    func encode(_ entries: [TaskFile.Entry], from path: String) throws -> [AnswerExample] {
      try entries.compactMap { entry in
        if let prompt = TaskPrompt(entry.example) {
          return AnswerExample(prompt, encoder: encoder, endOfText: endOfText)
        }
        guard case .chat(let messages) = entry.example else { return nil }
        do {
          return AnswerExample(
            try template.encode(messages, tokenizer: tokenizer, addGenerationPrompt: false, learnsAnswers: true))
        } catch {
          throw CorpusError.badLine(path: path, line: entry.line, problem: "\(error)")
        }
      }
    }
    let parts = try Self.parts(of: request)
    train = try encode(parts.train, from: request.data)
    val = try encode(parts.val, from: parts.valPath)
  }

  var longest: Int { (train + val).map(\.length).max() ?? 1 }

  func rows(_ settings: Settings) -> (train: any ExampleRows, val: any ExampleRows) {
    (
      PackedExamples(train, context: settings.train.context), PackedExamples(val, context: settings.train.context)
    )
  }

  func misfits(context: Int) -> String? {
    let count = (train + val).count { $0.length > context }
    return count > 0 ? "skipped \(count) examples longer than the context of \(context) tokens" : nil
  }
}
