import Compute
import Foundation
import Models
import TestSupport
import Testing

@Suite("First weights")
struct InitializationTests {
  private static func fill(_ config: ModelConfig, seed: UInt64) throws -> any ParameterStore {
    let store = ReferenceExecutor().makeParameters(try Transformer(config).parameterLayout, training: false)
    try Initialization(config).fill(store, seed: seed)
    return store
  }

  private static func config(_ architecture: ModelConfig.Architecture) -> ModelConfig {
    ModelConfig(architecture, vocabularySize: 300, hiddenSize: 64, layers: 3, heads: 4, maxPositions: 50)
  }

  @Test("are a function of the seed", arguments: ModelConfig.Architecture.allCases)
  func deterministic(architecture: ModelConfig.Architecture) throws {
    let first = try Self.fill(Self.config(architecture), seed: 5).bits()
    #expect(try Self.fill(Self.config(architecture), seed: 5).bits() == first)
    #expect(try Self.fill(Self.config(architecture), seed: 6).bits() != first)
  }

  @Test("spread as published", arguments: ModelConfig.Architecture.allCases)
  func deviations(architecture: ModelConfig.Architecture) throws {
    let config = Self.config(architecture)
    let store = try Self.fill(config, seed: 7)
    for entry in store.layout.entries where entry.isTrainable {
      let values = try store.read(.weights, entry).map(Double.init)
      if entry.shape.rank == 1 {
        let expected: Double = entry.name.hasSuffix("bias") ? 0 : 1
        #expect(values.allSatisfy { $0 == expected }, "\(entry.name)")
        continue
      }
      let endsBranch = entry.name.contains("Output")
      let sides = Double(entry.shape[0] + entry.shape[1])
      let expected =
        switch architecture {
        case .gpt2: endsBranch ? 0.02 / 6.squareRoot() : 0.02
        case .llama, .qwen3, .bert: 0.02
        case .encoder: entry.name == "embedding" ? 1 / 8 : (2 / sides).squareRoot()
        case .nanochat, .mayfly:
          endsBranch || entry.name.hasSuffix("convolution")
            ? 0 : entry.name == "embedding" ? 1 : entry.name == "head" ? 0.001 : 1 / 8
        }
      let deviation = (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
      // Few values spread by chance.
      let tolerance = max(0.05, 2 / Double(values.count).squareRoot())
      #expect(abs(deviation - expected) <= tolerance * expected, "\(entry.name): \(deviation)")
      // Each tensor from numbers of its own, and none from another.
      if expected > 0 { #expect(Set(values).count > values.count * 9 / 10, "\(entry.name)") }
    }
  }

  @Test("of sinusoidal positions are the published waves, and are never trained")
  func sinusoids() throws {
    var config = Self.config(.gpt2)
    config.positions = .sinusoidal
    let store = try Self.fill(config, seed: 0)
    let entry = try #require(store.layout["positions"])
    #expect(!entry.isTrainable)
    let values = try store.read(.weights, entry)
    for (position, column) in [(0, 0), (0, 1), (1, 0), (7, 10), (49, 63), (30, 33)] {
      let angle = Double(position) / pow(10_000, Double(column - column % 2) / 64)
      let expected = column % 2 == 0 ? sin(angle) : cos(angle)
      #expect(abs(Double(values[position * 64 + column]) - expected) < 1e-6)
    }
  }
}
