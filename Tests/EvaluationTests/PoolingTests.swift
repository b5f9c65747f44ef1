import Compute
import ComputeCPU
import Evaluation
import Foundation
import Models
import TestSupport
import Testing

@Suite("Vectors of texts")
struct PoolingTests {
  private static let architectures = ModelConfig.Architecture.allCases

  private func transformer(
    _ architecture: ModelConfig.Architecture, labels: [String] = [], pooling: ModelConfig.Pooling = .mean
  ) throws -> Transformer {
    var config = ModelConfig.tiny(architecture, context: 40)
    (config.labels, config.pooling) = (labels, pooling)
    return try Transformer(config)
  }

  /// The definition: a text alone, in fp64, its states pooled by hand.
  private func states(_ ids: [Int32], _ transformer: Transformer) throws -> [[Double]] {
    let executor = ReferenceExecutor()
    var graph = Graph(parameters: transformer.parameterLayout)
    let tokens = graph.input("ids", [1, ids.count], .int32)
    let positions = graph.input("positions", [1, ids.count], .int32)
    let mask: AttentionMask = transformer.config.isBidirectional ? .bidirectional : .causal
    let x = try transformer.hiddenStates(&graph, ids: tokens, positions: positions, dropout: 0) {
      (graph, qkv, _) throws(ComputeError) in try transformer.attention(&graph, qkv, mask: mask)
    }
    graph.keep(x)
    let weights = try transformer.randomWeights(on: executor)
    let execution = executor.prepare(Program(graph), parameters: weights, states: nil)
    try execution.set(tokens, ids)
    try execution.set(positions, ids.indices.map { Int32($0) })
    try execution.run(RunContext())
    let values = try execution.get(x).map(Double.init)
    let C = transformer.config.hiddenSize
    return ids.indices.map { Array(values[$0 * C..<($0 + 1) * C]) }
  }

  private static let lengths = [1, 5, 16, 17, 33, 40, 3, 3]

  private func sequences() -> [[Int32]] {
    Self.lengths.enumerated().map { integers($1, below: 37, seed: 4, stream: UInt32($0)) }
  }

  @Test("are means of the last states, whatever else is computed with them", arguments: architectures)
  func mean(architecture: ModelConfig.Architecture) throws {
    let transformer = try transformer(architecture)
    let executor = try CPUExecutor(threads: 2)
    let weights = try transformer.randomWeights(on: executor)
    let found = try Embedder(transformer, weights: weights, executor: executor).embed(sequences() + [[]])
    for (ids, vector) in zip(sequences(), found) {
      let states = try states(ids, transformer)
      let mean = states[0].indices.map { c in states.reduce(0) { $0 + $1[c] } / Double(states.count) }
      let norm = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
      for (a, b) in zip(vector, mean) { #expect(abs(Double(a) - b / norm) < 1e-5) }
    }
    #expect(found[Self.lengths.count].allSatisfy { $0 == 0 })
  }

  @Test("a classifier's probabilities are those of each text alone", arguments: architectures, [true, false])
  func classifier(architecture: ModelConfig.Architecture, last: Bool) throws {
    let transformer = try transformer(architecture, labels: ["a", "b", "c"], pooling: last ? .last : .mean)
    let executor = try CPUExecutor(threads: 2)
    let weights = try transformer.randomWeights(on: executor)
    let score = try weights.read(.weights, #require(weights.layout["score"])).map(Double.init)
    let found = try Classifier(transformer, weights: weights, executor: executor).probabilities(sequences())
    let C = transformer.config.hiddenSize
    for (ids, probabilities) in zip(sequences(), found) {
      let states = try states(ids, transformer)
      let pooled = last ? [states[states.count - 1]] : states
      let vector = (0..<C).map { c in pooled.reduce(0.0) { $0 + $1[c] } / Double(pooled.count) }
      let logits = (0..<3).map { label in (0..<C).reduce(0.0) { $0 + vector[$1] * score[label * C + $1] } }
      let difference = logits[1] - logits[0]
      #expect(abs(log(probabilities[1] / probabilities[0]) - difference) < 1e-4)
      #expect(abs(probabilities.reduce(0, +) - 1) < 1e-9)
    }
  }

  @Test("the nearest come first, equally near ones in their order")
  func neighbours() {
    let found = Neighbour.nearest(to: [1, 0], among: [[0, 1], [1, 0], [0, -1], [1, 0]], count: 3)
    #expect(found.map(\.index) == [1, 3, 0])
  }
}
