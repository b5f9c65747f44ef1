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

  func rows(_ settings: Settings) throws -> FinetuneRows {
    let context = settings.train.context
    let (train, val) = (try fitting(train, context), try fitting(val, context))
    return FinetuneRows(
      train: PackedExamples(train.examples, context: context), val: PackedExamples(val.examples, context: context),
      misfits: misfits(cut: train.cut + val.cut, skipped: train.skipped + val.skipped, context))
  }

  /// What fits into rows of `context` tokens: of longer documents and contexts the beginning, as in evaluation.
  private func fitting(
    _ wholes: [Whole], _ context: Int
  ) throws -> (examples: [AnswerExample], cut: Int, skipped: Int) {
    var (examples, cut): ([AnswerExample], Int) = ([], 0)
    for whole in wholes {
      if whole.tokens.length <= context {
        examples.append(whole.tokens)
      } else if let shorter = try shortened(whole, context) {
        examples.append(shorter)
        cut += 1
      }
    }
    return (examples, cut, wholes.count - examples.count)
  }

  /// Nil where cutting what is read isn't enough.
  private func shortened(_ whole: Whole, _ context: Int) throws -> AnswerExample? {
    guard TaskPrompt(whole.text) != nil else { return nil }
    let answer = Array(whole.tokens.answer)
    // The last token is a target only.
    return try prompts.fittingPrompt(of: whole.text, limit: context + 1 - answer.count)
      .map { AnswerExample(prompt: $0, answer: answer) }
  }

  private func misfits(cut: Int, skipped: Int, _ context: Int) -> String? {
    let parts = [
      cut > 0 ? "cut what is read in \(cut) examples longer than the context of \(context) tokens" : nil,
      skipped > 0 ? "skipped \(skipped) examples longer than the context of \(context) tokens" : nil,
    ].compactMap(\.self)
    return parts.isEmpty ? nil : parts.joined(separator: "; ")
  }
}
