package import Compute
package import Models

/// Runs sequences through a ``PoolProgram``, a few rows at a time.
///
/// A sequence's vector doesn't depend on what it is computed together with: each has a row of its own, whose padding
/// it doesn't see.
package final class PooledRunner {
  package enum Output: Sendable {
    /// (C): the mean of the last hidden states.
    case vector
    /// (labels): a classifier's logits.
    case labelLogits
  }

  private let transformer: Transformer
  private let weights: any ParameterStore
  private let executor: any Executor
  private let output: Output
  private struct Shape: Hashable {
    let rows, time: Int
  }

  private typealias Ready = (program: PoolProgram, execution: any Execution, batch: TokenBatch)

  private var programs: [Shape: Ready] = [:]

  /// Tokens that are computed at once: enough to make matrix products efficient.
  private static let tokensAtOnce = 2048
  /// Rows have this length or twice, four times, … as many tokens, so that few programs serve all lengths.
  private static let shortestRow = 16
  /// Each holds memory of its own.
  private static let mostPrograms = 4

  package init(_ transformer: Transformer, weights: any ParameterStore, executor: any Executor, output: Output) {
    (self.transformer, self.weights, self.executor, self.output) = (transformer, weights, executor, output)
  }

  /// The vector of each sequence, in their order; an empty sequence gives zeros.
  ///
  /// - Parameter sequences: ids within the vocabulary, each sequence no longer than the model's context.
  /// - Throws: ``ComputeError``.
  package func run(_ sequences: [[Int32]]) throws(ComputeError) -> [[Float]] {
    var vectors = [[Float]](repeating: [], count: sequences.count)
    // Neighbours in length share a program.
    let order = sequences.indices.sorted { (sequences[$0].count, $0) < (sequences[$1].count, $1) }
    var next = 0
    while next < order.count {
      let time = rowLength(sequences[order[next]].count)
      let most = max(1, Self.tokensAtOnce / time)
      var end = order[next...].prefix(most).prefix { sequences[$0].count <= time }.endIndex
      // A few alone would mostly compute padding.
      let rows = (end - next) * 4 > most ? most : 1
      end = min(end, next + rows)
      let (program, execution, batch) = try ready(Shape(rows: rows, time: time))
      let part = order[next..<end]
      for row in 0..<rows { batch.clear(row: row) }
      for (row, index) in part.enumerated() where !sequences[index].isEmpty {
        let config = transformer.config
        let pooling = output == .vector ? .mean : config.pooling
        batch.place(sequences[index], row: row, start: 0, isBidirectional: config.isBidirectional)
        batch.setPool(pooling.tokens(0..<sequences[index].count), row: row, place: 0)
      }
      try batch.bind(to: program, of: execution)
      try execution.run(RunContext())
      let values = try execution.get(program.vectors)
      let width = values.count / rows
      for (row, index) in part.enumerated() { vectors[index] = Array(values[row * width..<(row + 1) * width]) }
      next = end
    }
    return vectors
  }

  private func rowLength(_ count: Int) -> Int {
    var length = Self.shortestRow
    while length < count { length *= 2 }
    return min(length, transformer.config.maxPositions)
  }

  private func ready(_ shape: Shape) throws(ComputeError) -> Ready {
    if let known = programs[shape] { return known }
    if programs.count == Self.mostPrograms { programs = [:] }
    let program =
      switch output {
      case .vector: try transformer.vectorProgram(batch: shape.rows, time: shape.time, perRow: 1)
      case .labelLogits: try transformer.labelProgram(batch: shape.rows, time: shape.time, perRow: 1)
      }
    let execution = try executor.prepare(program.program, parameters: weights, states: nil)
    let made = (program, execution, TokenBatch(rows: shape.rows, time: shape.time, mask: .ranges, perRow: 1))
    programs[shape] = made
    return made
  }
}
