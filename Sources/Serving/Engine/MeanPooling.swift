import Compute
import Models

/// Vectors of texts: the mean of the last hidden states, of length 1.
struct MeanPooling {
  let transformer: Transformer
  let weights: any ParameterStore
  let executor: any Executor

  /// - Parameter ids: at least one, at most the context.
  /// - Returns: (C).
  /// - Throws: ``ComputeError``.
  func vector(of ids: [Int32]) throws(ComputeError) -> [Float] {
    var graph = Graph(parameters: transformer.parameterLayout)
    let tokens = graph.input("ids", [1, ids.count], .int32)
    let positions = graph.input("positions", [1, ids.count], .int32)
    let states = try transformer.hiddenStates(&graph, ids: tokens, positions: positions, dropout: 0) {
      (graph, qkv, _) throws(ComputeError) in try transformer.attention(&graph, qkv, mask: .causal)
    }
    graph.keep(states)
    let execution = try executor.prepare(Program(graph), parameters: weights, states: nil)
    execution.set(tokens, ids)
    execution.set(positions, ids.indices.map { Int32($0) })
    execution.run(RunContext())
    let values = execution.get(states)
    let C = transformer.config.hiddenSize
    let sums = (0..<C).map { c in stride(from: c, to: values.count, by: C).reduce(0.0) { $0 + Double(values[$1]) } }
    let norm = sums.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return sums.map { Float(norm > 0 ? $0 / norm : 0) }
  }
}
