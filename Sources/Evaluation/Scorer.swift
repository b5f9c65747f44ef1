package import Compute
package import Generation
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
    package var alternatives: [[TokenAlternative]]
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
      try execution.set(program.ids, Array(row.dropLast()))
      try execution.set(program.positions, (0..<Int32(row.count - 1)).map { $0 })
      try execution.run(RunContext())
      let logits = try execution.get(program.logits)
      let V = transformer.config.vocabularySize
      for t in 0..<row.count - 1 {
        let row = LogProbabilities(logits[t * V..<(t + 1) * V])
        score.logProbabilities.append(row[ids[start + t + 1]])
        score.alternatives.append(row.top(top))
      }
    }
    return score
  }

  /// The `top` most likely tokens at each of some positions, most likely first, given all others: of a model that sees
  /// both sides.
  ///
  /// - Parameter ids: at most as many as the model's context.
  /// - Throws: ``ComputeError``.
  package func fill(_ ids: [Int32], at positions: [Int], top: Int) throws -> [[TokenAlternative]] {
    let program = try transformer.logitsProgram(batch: 1, time: ids.count)
    let execution = try executor.prepare(program.program, parameters: weights, states: nil)
    try execution.set(program.ids, ids)
    try execution.set(program.positions, ids.indices.map { Int32($0) })
    try execution.run(RunContext())
    let logits = try execution.get(program.logits)
    let V = transformer.config.vocabularySize
    return positions.map { LogProbabilities(logits[$0 * V..<($0 + 1) * V]).top(top) }
  }
}
