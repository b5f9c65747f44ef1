import Compute

/// A named model, with the training settings that suit its size.
package struct Preset: Sendable {
  package let name: String
  package let architecture: ModelConfig.Architecture
  package let layers: Int
  package let heads: Int
  package let hiddenSize: Int
  /// Tokens that the model sees at once.
  package let context: Int
  /// Sequences per update.
  package let batchSize: Int
  package let learningRate: Float
  package let warmupSteps: Int
  package let dropout: Float
  /// Nil: what the tokenizer has.
  package let vocabularySize: Int?

  private init(
    _ name: String, _ architecture: ModelConfig.Architecture, layers: Int, heads: Int, width: Int, context: Int,
    batchSize: Int, learningRate: Float, warmupSteps: Int = 30, dropout: Float = 0, vocabularySize: Int? = nil
  ) {
    self.name = name
    self.architecture = architecture
    self.layers = layers
    self.heads = heads
    hiddenSize = width
    self.context = context
    self.batchSize = batchSize
    self.learningRate = learningRate
    self.warmupSteps = warmupSteps
    self.dropout = dropout
    self.vocabularySize = vocabularySize
  }

  /// Smallest first: the ladder that a time budget climbs, then GPT-2's four sizes and the first Transformer's encoder as
  /// published.
  package static let all: [Preset] = [
    Preset("mini", .nanochat, layers: 4, heads: 4, width: 128, context: 128, batchSize: 8, learningRate: 4e-3),
    Preset("small", .nanochat, layers: 6, heads: 6, width: 192, context: 256, batchSize: 16, learningRate: 3e-3),
    Preset("medium", .nanochat, layers: 6, heads: 6, width: 384, context: 256, batchSize: 32, learningRate: 1.5e-3),
    Preset("large", .nanochat, layers: 12, heads: 12, width: 768, context: 512, batchSize: 32, learningRate: 6e-4),
    Preset("gpt2", .gpt2, layers: 12, heads: 12, width: 768, context: 1024, batchSize: 32, learningRate: 6e-4),
    Preset("gpt2-medium", .gpt2, layers: 24, heads: 16, width: 1024, context: 1024, batchSize: 32, learningRate: 3e-4),
    Preset("gpt2-large", .gpt2, layers: 36, heads: 20, width: 1280, context: 1024, batchSize: 32, learningRate: 2.5e-4),
    Preset("gpt2-xl", .gpt2, layers: 48, heads: 25, width: 1600, context: 1024, batchSize: 32, learningRate: 2e-4),
    Preset(
      "encoder", .encoder, layers: 6, heads: 8, width: 512, context: 256, batchSize: 32, learningRate: 5e-4,
      warmupSteps: 200, dropout: 0.1),
  ]

  package static func named(_ name: String) -> Preset? { all.first { $0.name == name } }

  package func config(vocabularySize: Int) -> ModelConfig {
    ModelConfig(
      architecture, vocabularySize: vocabularySize, hiddenSize: hiddenSize, layers: layers, heads: heads,
      maxPositions: context)
  }
}
