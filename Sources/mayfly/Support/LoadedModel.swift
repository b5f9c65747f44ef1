import Compute
import Formats
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

  init(_ path: String, _ options: DeviceOptions) throws {
    folder = try ModelFolder(path)
    executor = try options.makeExecutor()
    transformer = try Transformer(folder.config)
    weights = try executor.makeParameters(transformer.parameterLayout, training: false)
    try folder.load(into: weights)
    tokenizer = try folder.tokenizer()
  }

  /// The tokenizer, or an error that says what is missing.
  func requireTokenizer(for purpose: String) throws -> Tokenizer {
    guard let tokenizer else {
      throw CommandError(
        "\(folder.path) has no tokenizer.json, which \(purpose) needs; copy the data's tokenizer.json there")
    }
    return tokenizer
  }

  /// Checks ids that came from outside.
  func checked(_ ids: [Int32]) throws -> [Int32] {
    for id in ids where id < 0 || Int(id) >= config.vocabularySize {
      throw CommandError("id \(id) is outside of the model's vocabulary, 0 to \(config.vocabularySize - 1)")
    }
    return ids
  }
}
