import Corpus
import Evaluation
import Models
import Tokenization
import Training

/// Prompts with answers to learn: questions, summaries, conversations.
struct AnswerData: FinetuneData {
  let model: ModelConfig
  private let train: [Whole]
  private let val: [Whole]
  private let prompts: PromptTokens

  /// An example before it is known how much fits.
  private struct Whole {
    let text: TaskExample
    let tokens: AnswerExample
  }

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
    prompts = PromptTokens(tokenizer, endOfText: endOfText)
    let encoder = Encoder(tokenizer)
    func tokens(_ entry: TaskFile.Entry, from path: String) throws -> AnswerExample? {
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
    func encode(_ entries: [TaskFile.Entry], from path: String) throws -> [Whole] {
      try entries.compactMap { entry in
        try tokens(entry, from: path).map { Whole(text: entry.example, tokens: $0) }
      }
    }
    let parts = try Self.parts(of: request)
    train = try encode(parts.train, from: request.data)
    val = try encode(parts.val, from: parts.valPath)
  }

  var longest: Int { (train + val).map(\.tokens.length).max() ?? 1 }

  func rows(_ settings: Settings) throws -> (train: any ExampleRows, val: any ExampleRows) {
    let context = settings.train.context
    return (
      PackedExamples(try fitting(train, context), context: context),
      PackedExamples(try fitting(val, context), context: context)
    )
  }

  /// What fits into rows of `context` tokens: of longer documents and contexts the beginning, as in evaluation.
  private func fitting(_ examples: [Whole], _ context: Int) throws -> [AnswerExample] {
    try examples.compactMap { example in
      if example.tokens.length <= context { return example.tokens }
      guard TaskPrompt(example.text) != nil else { return nil }
      let answer = Array(example.tokens.answer)
      // The last token is a target only.
      return try prompts.fittingPrompt(of: example.text, limit: context + 1 - answer.count)
        .map { AnswerExample(prompt: $0, answer: answer) }
    }
  }

  func misfits(context: Int) throws -> String? {
    let long = (train + val).filter { $0.tokens.length > context }
    let cut = try fitting(long, context).count
    let parts = [
      cut > 0 ? "cut what is read in \(cut) examples longer than the context of \(context) tokens" : nil,
      long.count > cut ? "skipped \(long.count - cut) examples longer than the context of \(context) tokens" : nil,
    ].compactMap(\.self)
    return parts.isEmpty ? nil : parts.joined(separator: "; ")
  }
}
