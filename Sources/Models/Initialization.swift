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
      return (0..<count).map { (2 * philox.uniform(UInt64($0), stream: stream) - 1) * bound }
    case .normal(let deviation):
      // Box & Muller (1958): two numbers from two.
      return (0..<count).map { index in
        let pair = UInt64(index / 2 * 2)
        let radius = (-2 * log(1 - philox.uniform(pair, stream: stream))).squareRoot()
        let angle = 2 * Float.pi * philox.uniform(pair + 1, stream: stream)
        return deviation * radius * (index.isMultiple(of: 2) ? cos(angle) : sin(angle))
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
}
