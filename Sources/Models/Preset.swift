import Compute
import Foundation

/// A named model, with the training settings that suit its size.
package struct Preset: Sendable, Equatable {
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
  /// Muon for the matrices, AdamW for the rest; nil: AdamW for all.
  package let muon: Muon?
  /// Nil: what the tokenizer has.
  package let vocabularySize: Int?

  /// What suits training with Muon, measured: docs/experiments.md.
  package struct Muon: Sendable, Equatable {
    package let momentum: Float
    package let matrixLearningRate: Float
    /// AdamW's rate of embeddings.
    package let embeddingLearningRate: Float
    /// AdamW's share of past squared gradients.
    package let beta2: Float
    /// Tokens of the update that all rates are for.
    package let batchTokens: Float

    /// What rates are multiplied with where an update has more tokens: noise falls with the square root. Measured up to
    /// four times as many.
    package func rateFactor(batchTokens: Float) -> Float {
      min(max(batchTokens / self.batchTokens, 1), 4).squareRoot()
    }
  }

  private init(
    _ name: String, _ architecture: ModelConfig.Architecture, layers: Int, heads: Int, width: Int, context: Int,
    batchSize: Int, learningRate: Float, warmupSteps: Int = 30, dropout: Float = 0, muon: Muon? = nil,
    vocabularySize: Int? = nil
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
    self.muon = muon
    self.vocabularySize = vocabularySize
  }

  /// Those with a name: four of ours, smallest first, GPT-2's sizes and the first Transformer's encoder as published.
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

  /// The widths that a time budget chooses from.
  package static let decoderWidths = [
    64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024, 1280, 1536, 2048,
  ]

  /// The decoder of a width: one dial, from which all else follows.
  ///
  /// - Parameter batchSize: sequences per update; nil: about a thousand tokens.
  package static func decoder(width: Int, batchSize: Int? = nil) -> Preset {
    // From 3 layers at 64 to 12 at 768: deeper where there is width to use it.
    let layers = Int((4 * pow(Double(width) / 128, 0.61)).rounded())
    let context =
      switch width {
      case ..<192: 128
      case ..<384: 256
      case ..<768: 512
      default: 1024
      }
    let batchSize = batchSize ?? 1024 / context
    return Preset(
      "decoder-\(width)", .nanochat, layers: layers, heads: width / (width < 256 ? 32 : 64), width: width,
      context: context, batchSize: batchSize, learningRate: 6e-3 * Float(128 / Double(width)).squareRoot(),
      muon: Muon(
        momentum: 0.9, matrixLearningRate: 0.02, embeddingLearningRate: 3e-2, beta2: 0.999, batchTokens: 1024))
  }

  /// Those of ``all``, and decoder-W of the widths that a budget chooses from.
  package static func named(_ name: String) -> Preset? {
    all.first { $0.name == name } ?? decoderWidths.lazy.map { decoder(width: $0) }.first { $0.name == name }
  }

  package func config(vocabularySize: Int) -> ModelConfig {
    ModelConfig(
      architecture, vocabularySize: vocabularySize, hiddenSize: hiddenSize, layers: layers, heads: heads,
      maxPositions: context)
  }
}
