package import Compute
import Foundation

/// First weights, a function of the seed alone.
package struct Initialization {
  private enum Distribution {
    case constant(Float)
    case normal(deviation: Float)
    /// Over ±bound.
    case uniform(bound: Float)
    case sinusoids
  }

  private let config: ModelConfig

  package init(_ config: ModelConfig) {
    self.config = config
  }

  /// Fills the weights of a store.
  package func fill(_ store: any ParameterStore, seed: UInt64) throws(ComputeError) {
    for (index, entry) in store.layout.entries.enumerated() {
      try store.write(.weights, entry, values(entry, seed: seed, stream: UInt32(index)))
    }
  }

  private func distribution(_ name: String, _ shape: Shape) -> Distribution {
    if name.hasSuffix("orm.weight") { return .constant(1) }
    if name.hasSuffix(".bias") { return .constant(0) }
    if name == "positions", config.positions == .sinusoidal { return .sinusoids }
    let endsBranch = name.hasSuffix("Output.weight")
    switch config.architecture {
    case .gpt2:
      // Radford et al. (2019), section 2.3: projections onto the residual stream are scaled by 1/√(number of them).
      return .normal(
        deviation: config.initializerRange / (endsBranch ? Float(2 * config.layers).squareRoot() : 1))
    case .llama, .qwen3, .bert:
      return .normal(deviation: config.initializerRange)
    case .nanochat, .mayfly:
      // nanochat's init_weights: branches begin silent, the head nearly so.
      if endsBranch || name.hasSuffix("convolution") { return .constant(0) }
      if name == "embedding" { return .normal(deviation: 1) }
      if name == "head" { return .normal(deviation: 0.001) }
      return .uniform(bound: (3 / Float(config.hiddenSize)).squareRoot())
    case .encoder:
      // Embeddings of length 1 on average, so that they are as large as positions when multiplied by √C; matrices as
      // Glorot & Bengio (2010), with which torch.nn.Transformer begins.
      if ["embedding", "positions", "head"].contains(name) {
        return .normal(deviation: 1 / Float(config.hiddenSize).squareRoot())
      }
      return .uniform(bound: (6 / Float(shape[0] + shape[1])).squareRoot())
    }
  }

  private func values(_ entry: TensorLayout.Entry, seed: UInt64, stream: UInt32) -> [Float] {
    let philox = Philox(seed: seed)
    let count = entry.shape.count
    switch distribution(entry.name, entry.shape) {
    case .constant(let value):
      return [Float](repeating: value, count: count)
    case .uniform(let bound):
      return Self.drawn(count) { pair in
        let (first, second) = (
          philox.uniform(UInt64(pair), stream: stream), philox.uniform(UInt64(pair + 1), stream: stream)
        )
        return ((2 * first - 1) * bound, (2 * second - 1) * bound)
      }
    case .normal(let deviation):
      return Self.drawn(count) { pair in
        // Box & Muller (1958): two numbers from two.
        let radius = (-2 * log(1 - philox.uniform(UInt64(pair), stream: stream))).squareRoot()
        let angle = 2 * Float.pi * philox.uniform(UInt64(pair + 1), stream: stream)
        return (deviation * radius * cos(angle), deviation * radius * sin(angle))
      }
    case .sinusoids:
      // Vaswani et al., section 3.5: PE(p, 2i) = sin(p / 10000^(2i/C)), PE(p, 2i + 1) = cos of the same.
      let C = entry.shape.width
      return (0..<count).map { index in
        let angle = Double(index / C) / pow(10_000, Double(index % C / 2 * 2) / Double(C))
        return Float((index % C).isMultiple(of: 2) ? sin(angle) : cos(angle))
      }
    }
  }

  /// Numbers two at a time, on every core: those of a large model are many.
  ///
  /// - Parameter pair: elements `index` and `index + 1` of an even index.
  private static func drawn(_ count: Int, _ pair: @Sendable (Int) -> (Float, Float)) -> [Float] {
    let piece = 1 << 16
    return [Float](unsafeUninitializedCapacity: count) { buffer, filled in
      // Each thread writes pieces of its own.
      nonisolated(unsafe) let numbers = buffer
      DispatchQueue.concurrentPerform(iterations: (count + piece - 1) / piece) { number in
        for index in stride(from: number * piece, to: min(count, (number + 1) * piece), by: 2) {
          let (first, second) = pair(index)
          numbers[index] = first
          if index + 1 < count { numbers[index + 1] = second }
        }
      }
      filled = count
    }
  }
}
