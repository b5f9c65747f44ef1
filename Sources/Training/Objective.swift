package import Compute
package import Corpus
package import Evaluation
package import Models
package import Tokenization

/// Where a training's rows come from: text, masked text, examples of a task.
package protocol BatchSource: AnyObject {
  var mask: MaskKind { get }
  /// S: sequences of a row that have one target each; nil: tokens are the targets.
  var perRow: Int? { get }
  /// Seconds that ``next(_:)`` has waited for data so far.
  var dataWaitSeconds: Double { get }
  /// Fills the rows of the next update. It should allocate nothing.
  func next(_ batch: TokenBatch) throws
  /// Goes to another place of the data.
  func move(to place: DataPlace) throws
}

/// Where a run is in its data.
package struct DataPlace: Sendable, Equatable {
  /// Rows taken before.
  package var row = 0
  /// Which of the orders that belong to the seed.
  package var order = 0

  package init(row: Int = 0, order: Int = 0) {
    (self.row, self.order) = (row, order)
  }

  /// The seed of this order; of the first one the seed itself.
  func seed(_ seed: UInt64) -> UInt64 { seed &+ UInt64(order) &* 0x9E37_79B9_7F4A_7C15 }
}

extension BatchSource {
  package var perRow: Int? { nil }
}

/// Measures a model while it trains, on data that it doesn't train on.
package protocol Validation: AnyObject {
  /// Tokens of the largest batch that is computed at once: what to measure the cost of an evaluation by.
  var batchTokens: Int { get }
  /// Tokens that a whole evaluation predicts.
  var predictedTokens: Int { get }
  /// - Parameter limit: stop after so many tokens; nil: all.
  func evaluate(limit: Int?) throws -> EvaluationResult
}

/// What a run learns from, and what it is measured by.
package struct Objective {
  package let source: any BatchSource
  /// Tokens of the data, for reports.
  package let trainTokens: Int
  /// Nil: there is nothing to measure by.
  package let validation: (any Validation)?

  package init(source: any BatchSource, trainTokens: Int, validation: (any Validation)?) {
    self.source = source
    self.trainTokens = trainTokens
    self.validation = validation
  }

  /// The next token of a text in shards.
  ///
  /// - Parameter place: where the run is.
  /// - Throws: ``CorpusError``, ``ComputeError``.
  package static func nextToken(
    _ data: Dataset, _ settings: Settings, store: any ParameterStore, executor: any Executor, tokenizer: Tokenizer?,
    place: DataPlace
  ) throws -> Objective {
    Objective(
      source: try rows(data, settings, tokenizer, place: place), trainTokens: data.tokenCount(of: .train),
      validation: try ShardValidation(
        data, settings, store: store, executor: executor, masking: nil, bytes: tokenizer.map { TokenBytes($0) }))
  }

  private static func rows(
    _ data: Dataset, _ settings: Settings, _ tokenizer: Tokenizer?, place: DataPlace
  ) throws -> any BatchSource {
    var text: any BatchSource = try ShardSource(data, settings, endOfText: tokenizer?.endOfText, place: place)
    let rate = settings.data.bpeDropout
    if rate > 0 {
      guard settings.data.packing == .none else {
        throw SettingsError.impossible(
          key: "data.bpe_dropout", value: "\(rate)",
          expected: "0, as rows of whole documents have no room for more tokens")
      }
      guard let tokenizer else {
        throw SettingsError.impossible(
          key: "data.bpe_dropout", value: "\(rate)", expected: "0, as the data has no tokenizer beside it")
      }
      guard tokenizer.isByteLevel else {
        throw SettingsError.impossible(
          key: "data.bpe_dropout", value: "\(rate)", expected: "0, as the data's tokenizer is no byte-level BPE")
      }
      text = try DropoutSource(text, tokenizer, rate: Double(rate), seed: settings.train.seed, place: place)
    }
    if settings.data.documentMask {
      guard let endOfText = tokenizer?.endOfText else {
        throw SettingsError.impossible(
          key: "data.document_mask", value: "true",
          expected: "false, as no tokenizer beside the data says where documents end")
      }
      text = DocumentSource(text, endOfText: endOfText, isBidirectional: settings.model.isBidirectional)
    }
    return text
  }

  /// The hidden tokens of a text in shards.
  ///
  /// - Parameters:
  ///   - mask: the token that hides others.
  ///   - place: where the run is.
  /// - Throws: ``CorpusError``, ``ComputeError``.
  package static func maskedToken(
    _ data: Dataset, _ settings: Settings, store: any ParameterStore, executor: any Executor, tokenizer: Tokenizer?,
    mask: Int32, place: DataPlace
  ) throws -> Objective {
    func masking(seed: UInt64?) -> Masking {
      Masking(maskToken: mask, vocabularySize: settings.model.vocabularySize, tokenizer: tokenizer, seed: seed)
    }
    return Objective(
      source: MaskedSource(
        try rows(data, settings, tokenizer, place: place), masking: masking(seed: settings.train.seed),
        startRow: place.row),
      trainTokens: data.tokenCount(of: .train),
      validation: try ShardValidation(
        data, settings, store: store, executor: executor, masking: masking(seed: nil), bytes: nil))
  }
}

/// The validation split of prepared data.
private final class ShardValidation: Validation {
  private let rows: EvaluationRows
  private let evaluator: Evaluator
  private let bytes: TokenBytes?
  private let isMasked: Bool

  /// Nil where there is no text to measure by.
  init?(
    _ data: Dataset, _ settings: Settings, store: any ParameterStore, executor: any Executor, masking: Masking?,
    bytes: TokenBytes?
  ) throws {
    guard data.tokenCount(of: .val) >= 2 else { return nil }
    let (B, T) = (settings.train.resolvedMicroBatch, settings.train.context)
    rows = try EvaluationRows(data.shards(of: .val), batchSize: B, context: T)
    evaluator = try Evaluator(
      Transformer(settings.model), weights: store, executor: executor, batch: B, time: T, masking: masking)
    self.bytes = bytes
    isMasked = masking != nil
  }

  var batchTokens: Int { predicted(of: evaluator.batch * evaluator.time) }
  var predictedTokens: Int { predicted(of: rows.predictedTokens) }

  private func predicted(of tokens: Int) -> Int { isMasked ? Masking.chosen(of: tokens) : tokens }

  func evaluate(limit: Int?) throws -> EvaluationResult {
    try evaluator.evaluate(rows, bytes: bytes, limit: limit)
  }
}
