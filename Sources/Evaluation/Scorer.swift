package import Compute
import Foundation
package import Models

/// The log-probability of each token of a text.
package struct Scorer {
  private let transformer: Transformer
  private let weights: any ParameterStore
  private let executor: any Executor

  package init(_ transformer: Transformer, weights: any ParameterStore, executor: any Executor) {
    self.transformer = transformer
    self.weights = weights
    self.executor = executor
  }

  package struct Score: Sendable {
    /// Nats; nil for the first token, which nothing predicts.
    package var logProbabilities: [Double?]
    /// For each position the `top` most likely tokens, most likely first; empty for the first.
    package var alternatives: [[Alternative]]
  }

  package struct Alternative: Sendable {
    package let id: Int32
    package let logProbability: Double
  }

  /// Scores ids in non-overlapping rows of the model's context: each row begins with the last token of the one before.
  ///
  /// - Parameter top: how many alternatives to give for each position.
  /// - Throws: ``ComputeError``.
  package func score(_ ids: [Int32], top: Int = 0) throws -> Score {
    var score = Score(logProbabilities: [nil], alternatives: [[]])
    guard ids.count > 1 else { return Score(logProbabilities: ids.map { _ in nil }, alternatives: ids.map { _ in [] }) }
    let context = transformer.config.maxPositions
    for start in stride(from: 0, to: ids.count - 1, by: context) {
      let row = Array(ids[start..<min(ids.count, start + context + 1)])
      let program = try transformer.logitsProgram(batch: 1, time: row.count - 1)
      let execution = try executor.prepare(program.program, parameters: weights, states: nil)
      execution.set(program.ids, Array(row.dropLast()))
      execution.set(program.positions, (0..<Int32(row.count - 1)).map { $0 })
      execution.run(RunContext())
      let logits = execution.get(program.logits)
      let V = transformer.config.vocabularySize
      for t in 0..<row.count - 1 {
        let z = logits[t * V..<(t + 1) * V]
        let normalizer = Self.logSumExp(z)
        score.logProbabilities.append(Double(z[z.startIndex + Int(row[t + 1])]) - normalizer)
        score.alternatives.append(Self.alternatives(top, of: z))
      }
    }
    return score
  }

  /// The `top` most likely tokens at each of some positions, most likely first, given all others: of a model that sees
  /// both sides.
  ///
  /// - Parameter ids: at most as many as the model's context.
  /// - Throws: ``ComputeError``.
  package func fill(_ ids: [Int32], at positions: [Int], top: Int) throws -> [[Alternative]] {
    let program = try transformer.logitsProgram(batch: 1, time: ids.count)
    let execution = try executor.prepare(program.program, parameters: weights, states: nil)
    execution.set(program.ids, ids)
    execution.set(program.positions, ids.indices.map { Int32($0) })
    execution.run(RunContext())
    let logits = execution.get(program.logits)
    let V = transformer.config.vocabularySize
    return positions.map { Self.alternatives(top, of: logits[$0 * V..<($0 + 1) * V]) }
  }

  private static func alternatives(_ count: Int, of z: ArraySlice<Float>) -> [Alternative] {
    let normalizer = logSumExp(z)
    return best(count, of: z).map { id in
      Alternative(id: id, logProbability: Double(z[z.startIndex + Int(id)]) - normalizer)
    }
  }

  static func logProbability(of id: Int32, in logits: [Float]) -> Double {
    Double(logits[Int(id)]) - logSumExp(logits[...])
  }

  private static func logSumExp(_ z: ArraySlice<Float>) -> Double {
    let highest = Double(z.max() ?? 0)
    return highest + log(z.reduce(0) { $0 + exp(Double($1) - highest) })
  }

  private static func best(_ count: Int, of z: ArraySlice<Float>) -> [Int32] {
    guard count > 0 else { return [] }
    let order = z.indices.sorted { (z[$0], $1) > (z[$1], $0) }
    return order.prefix(count).map { Int32($0 - z.startIndex) }
  }
}
