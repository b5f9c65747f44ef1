import Compute
import Corpus
import Evaluation
import Formats
import Generation
import Models
import Tokenization

/// A model that is ready to compute.
struct LoadedModel {
  let folder: ModelFolder
  let transformer: Transformer
  let weights: any ParameterStore
  let executor: any Executor
  /// Nil for models of ids without text.
  let tokenizer: Tokenizer?

  var config: ModelConfig { folder.config }

  /// - Parameter needsTokenizer: false: what can't be read as a tokenizer is passed over, as only ids are used.
  init(_ path: String, _ options: DeviceOptions, needsTokenizer: Bool = true) throws {
    folder = try ModelFolder(path)
    executor = try options.makeExecutor()
    transformer = try Transformer(folder.config)
    weights = try executor.makeParameters(transformer.parameterLayout, training: false)
    try folder.load(into: weights)
    tokenizer = needsTokenizer ? try folder.tokenizer() : try? folder.tokenizer()
  }

  /// The tokenizer, or an error that says what is missing.
  func requireTokenizer(for purpose: String) throws -> Tokenizer {
    guard let tokenizer else {
      throw CommandError(
        "\(folder.path) has no tokenizer.json, which \(purpose) needs; copy the data's tokenizer.json there")
    }
    return tokenizer
  }

  /// The ids of a text with what BERT was taught to see around it, [CLS] and [SEP], where the tokenizer says so. Our
  /// classifiers see none.
  func surrounded(_ ids: [Int32], by tokenizer: Tokenizer) throws -> [Int32] {
    config.architecture == .bert && !config.isClassifier ? try tokenizer.addingSpecialTokens(to: ids) : ids
  }

  /// Refuses a model that can't continue a text, and says what it can do.
  func requireDecoder() throws {
    if config.isClassifier {
      throw CommandError(
        "\(folder.path): a classifier, which chooses labels and can't continue a text: "
          + "mayfly score \(folder.path) --text \"…\"")
    }
    guard config.isBidirectional else { return }
    let mask = tokenizer.flatMap { tokenizer in tokenizer.maskToken.map { tokenizer.decode([$0]) } } ?? "[MASK]"
    throw CommandError(
      "\(folder.path): the architecture '\(config.architecture.rawValue)' sees both sides of a token and can't continue "
        + "a text; let it fill in what is masked: mayfly score \(folder.path) --text \"… \(mask) …\"")
  }

  /// The token that hides others from a model that fills them in.
  ///
  /// - Parameter asked: what the user says it is.
  func requireMaskToken(_ asked: Int32? = nil) throws -> Int32 {
    if let asked { return try checked([asked])[0] }
    guard let mask = config.maskToken(tokenizer) else {
      throw CommandError(
        "\(folder.path): neither the tokenizer nor config.json's mask_token_id says which token is the mask; "
          + "add \"mask_token_id\" to config.json, or give score --mask-id")
    }
    return try checked([mask])[0]
  }

  /// Checks ids that came from outside.
  func checked(_ ids: [Int32]) throws -> [Int32] {
    for id in ids where id < 0 || Int(id) >= config.vocabularySize {
      throw CommandError("id \(id) is outside of the model's vocabulary, 0 to \(config.vocabularySize - 1)")
    }
    return ids
  }

  /// Tokens that are computed at once: enough to make matrix products efficient.
  private static let tokensAtOnce = 4096

  /// Measures the model on shards, in rows of its context.
  ///
  /// - Parameter other: the data's tokenizer, for a model that has none.
  func evaluate(_ shards: [TokenShard], tokenizer other: Tokenizer?) throws -> EvaluationResult {
    let context = min(config.maxPositions, Self.tokensAtOnce)
    let tokens = shards.reduce(0) { $0 + $1.count }
    let rows = max(1, min(Self.tokensAtOnce / context, (tokens + context - 1) / context))
    let known = tokenizer ?? other
    let masking =
      config.isBidirectional
      ? Masking(
        maskToken: try requireMaskToken(), vocabularySize: config.vocabularySize, tokenizer: known, seed: nil) : nil
    let evaluator = try Evaluator(
      transformer, weights: weights, executor: executor, batch: rows, time: context, masking: masking)
    return try evaluator.evaluate(
      EvaluationRows(shards, batchSize: rows, context: context), bytes: known.map { TokenBytes($0) })
  }

  /// What ends a document: what the model's config says, else what the tokenizer does.
  var endOfText: Int32? { config.eosTokenID.map(Int32.init(clamping:)) ?? tokenizer?.endOfText }

  /// Continues a prompt with the model's own end of a document.
  ///
  /// - Parameters:
  ///   - longest: tokens at most, those of the prompt included.
  ///   - endOfText: what ends the text; nil: what the model's config says.
  func generator(longest: Int, endOfText: Int32? = nil) throws -> Generator {
    try requireDecoder()
    return Generator(
      try KeyValueSession(transformer, weights: weights, executor: executor, longest: longest), tokenizer: tokenizer,
      endOfText: endOfText ?? self.endOfText)
  }
}
