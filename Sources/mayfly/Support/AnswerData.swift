import Corpus
import Models
import Tokenization
import Training

/// Prompts with answers to learn: questions, summaries.
struct AnswerData: FinetuneData {
  let model: ModelConfig
  private let train: [AnswerExample]
  private let val: [AnswerExample]

  init(_ request: FinetuneRun.Request, model: ModelConfig, tokenizer: Tokenizer) throws {
    guard !model.isBidirectional, !model.isClassifier else {
      throw CommandError(
        "\(request.model): \(model.isClassifier ? "a classifier" : "the architecture '\(model.architecture.rawValue)'") "
          + "can't write answers; --task \(request.kind.rawValue) needs a language model of one of "
          + ModelConfig.Architecture.decoders.map(\.rawValue).joined(separator: ", "))
    }
    guard let endOfText = tokenizer.endOfText else { throw CorpusError.noEndOfText(path: request.model) }
    self.model = model
    let prompts = try Self.read(request.data, request.kind).examples.compactMap { TaskPrompt($0) }
    let parts: (train: [TaskPrompt], val: [TaskPrompt])
    if let val = request.val {
      parts = (prompts, try Self.read(val, request.kind).examples.compactMap { TaskPrompt($0) })
    } else {
      parts = TaskSplit.split(prompts, valFraction: Self.valFraction)
    }
    let encoder = Encoder(tokenizer)
    func encode(_ prompts: [TaskPrompt]) -> [AnswerExample] {
      prompts.map { AnswerExample($0, encoder: encoder, endOfText: endOfText) }
    }
    (train, val) = (encode(parts.train), encode(parts.val))
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
