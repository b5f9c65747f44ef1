package import Compute
package import Corpus
package import Models

/// Measures how well a model predicts the rows of a split: each next token, or the tokens that were hidden.
package final class Evaluator {
  package let batch: Int
  package let time: Int
  private let masking: Masking?
  private let loss: LossProgram
  private let execution: any Execution
  /// All (B, T).
  private let inputs: UnsafeMutableBufferPointer<Int32>
  private let targets: UnsafeMutableBufferPointer<Int32>
  private let weights: UnsafeMutableBufferPointer<Float>
  private let losses: UnsafeMutableBufferPointer<Float>
  private let correct: UnsafeMutableBufferPointer<Float>

  /// - Parameters:
  ///   - parameters: the weights as they are whenever ``evaluate(_:bytes:limit:)`` is called.
  ///   - masking: of a model that fills in hidden tokens; nil: each next token is predicted.
  /// - Throws: ``ComputeError``.
  package init(
    _ transformer: Transformer, weights parameters: any ParameterStore, executor: any Executor, batch: Int, time: Int,
    masking: Masking? = nil
  ) throws(ComputeError) {
    self.batch = batch
    self.time = time
    self.masking = masking
    loss = try transformer.lossProgram(
      batch: batch, time: time, training: false, mask: masking == nil ? .causal : .ranges)
    execution = try executor.prepare(loss.program, parameters: parameters, states: nil)
    (inputs, targets) = (.allocate(capacity: batch * time), .allocate(capacity: batch * time))
    weights = .allocate(capacity: batch * time)
    (losses, correct) = (.allocate(capacity: batch * time), .allocate(capacity: batch * time))
    for buffer in [inputs, targets] { buffer.initialize(repeating: 0) }
    for buffer in [weights, losses, correct] { buffer.initialize(repeating: 0) }
    try execution.set(loss.positions, (0..<batch * time).map { Int32($0 % time) })
    try execution.set(loss.normalizer, [Float(1)])
  }

  deinit {
    for buffer in [inputs, targets] { buffer.deallocate() }
    for buffer in [weights, losses, correct] { buffer.deallocate() }
  }

  /// Loss and accuracy over the rows, summed in fp64 in their order.
  ///
  /// - Parameters:
  ///   - rows: of this evaluator's B and T.
  ///   - bytes: nil where ids have no text.
  ///   - limit: look at so many tokens, in batches from everywhere in the split; nil: all.
  /// - Throws: ``CorpusError``, ``ComputeError``.
  package func evaluate(
    _ rows: EvaluationRows, bytes: TokenBytes?, limit: Int? = nil
  ) throws -> EvaluationResult {
    precondition(rows.batchSize == batch && rows.context == time)
    var result = EvaluationResult(bytes: bytes == nil || masking != nil ? nil : 0)
    var frequencies: [Int32: Int] = [:]
    let size = masking == nil ? batch * time : Masking.chosen(of: batch * time)
    for index in Self.batches(of: rows.batchCount, size: size, limit: limit) {
      let count = try rows.read(batch: index, inputs: inputs, targets: targets, weights: weights)
      if let masking { try hide(masking, firstRow: index * batch, count: count) }
      try run()
      for index in 0..<batch * time where weights[index] != 0 {
        result.nats += Double(losses[index])
        result.correct += correct[index] == 1 ? 1 : 0
        result.tokens += 1
        if masking != nil { frequencies[targets[index], default: 0] += 1 }
        if let bytes { result.bytes? += bytes[targets[index]] }
      }
    }
    if masking != nil { result.mostFrequent = frequencies.values.max() ?? 0 }
    return result
  }

  /// Batches at equal distances: the beginning of a split may be a text of its own kind.
  ///
  /// - Parameters:
  ///   - size: tokens that are predicted in a batch.
  ///   - limit: tokens that are to be predicted; nil: all.
  package static func batches(of count: Int, size: Int, limit: Int?) -> [Int] {
    let chosen = min(count, limit.map { ($0 - 1) / size + 1 } ?? count)
    return (0..<chosen).map { $0 * count / chosen }
  }

  /// Hides tokens of a batch of which the first `count` are text; no token sees the padding behind them.
  private func hide(_ masking: Masking, firstRow: Int, count: Int) throws(ComputeError) {
    let lengths = (0..<batch).map { max(0, min(time, count - $0 * time)) }
    for row in 0..<batch {
      let part = row * time..<(row + 1) * time
      masking.hide(
        row: firstRow + row, count: lengths[row], ids: inputs[part], targets: targets[part], weights: weights[part])
    }
    if let ranges = loss.ranges { try execution.set(ranges, KeyRanges.padding(lengths: lengths, time: time)) }
  }

  private func run() throws(ComputeError) {
    try execution.set(loss.ids, UnsafeBufferPointer(inputs))
    try execution.set(loss.targets, UnsafeBufferPointer(targets))
    try execution.set(loss.weights, UnsafeBufferPointer(weights))
    try execution.run(RunContext())
    try execution.get(loss.losses, into: losses)
    try execution.get(loss.correct, into: correct)
  }
}
