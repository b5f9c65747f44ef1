package import Compute
package import Models

extension ModelConfig {
  /// A few thousand parameters; grouped queries and heads wider than C / H where the architecture has them.
  package static func tiny(
    _ architecture: Architecture, vocabularySize: Int = 37, context: Int = 16
  ) -> ModelConfig {
    var config = ModelConfig(
      architecture, vocabularySize: vocabularySize, hiddenSize: 24, layers: 2, heads: 4, maxPositions: context)
    if architecture != .gpt2, !architecture.isBidirectional { (config.keyValueHeads, config.headSize) = (2, 8) }
    return config
  }
}

extension Transformer {
  /// Weights from N(0, 0.2²) in every tensor, norms and biases too, so that a mix-up of any two shows.
  package func randomWeights(
    on executor: some Executor, seed: UInt64 = 1, training: Bool = false
  ) throws -> any ParameterStore {
    let store = try executor.makeParameters(parameterLayout, training: training)
    for (index, entry) in store.layout.entries.enumerated() {
      try store.write(.weights, entry, normals(entry.shape.count, seed: seed, stream: UInt32(index)).map { 0.2 * $0 })
    }
    return store
  }
}

extension ParameterStore {
  /// The bits of every tensor, in the order of the layout.
  package func bits(_ buffer: ParameterBuffer = .weights) throws -> [[UInt32]] {
    try layout.entries.map { try read(buffer, $0).map(\.bitPattern) }
  }
}

extension LogitsProgram {
  /// The logits (B, T, V) of B rows of T ids.
  package func logits(_ ids: [Int32], on execution: any Execution) throws -> [Float] {
    let time = program.graph.shape(self.ids)[1]
    try execution.set(self.ids, ids)
    try execution.set(positions, ids.indices.map { Int32($0 % time) })
    try execution.run(RunContext())
    return try execution.get(logits)
  }
}
