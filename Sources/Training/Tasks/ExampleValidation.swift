package import Compute
package import Evaluation
package import Models

/// The loss of examples that aren't trained on.
package final class ExampleValidation: Validation {
  private let examples: any ExampleRows
  private let batch: TokenBatch
  private let loss: LossProgram
  private let execution: any Execution
  private let losses: UnsafeMutableBufferPointer<Float>
  private let correct: UnsafeMutableBufferPointer<Float>

  /// - Parameter parameters: the weights as they are whenever ``evaluate(limit:)`` is called.
  /// - Throws: ``ComputeError``.
  package init(
    _ examples: any ExampleRows, _ transformer: Transformer, weights parameters: any ParameterStore,
    executor: any Executor, batch rows: Int
  ) throws(ComputeError) {
    self.examples = examples
    let (B, T) = (max(1, min(rows, examples.rowCount)), examples.context)
    batch = TokenBatch(rows: B, time: T, mask: .ranges, perRow: examples.perRow)
    loss =
      if let perRow = examples.perRow {
        try transformer.labelLossProgram(batch: B, time: T, perRow: perRow, training: false)
      } else {
        try transformer.lossProgram(batch: B, time: T, training: false, mask: .ranges)
      }
    execution = try executor.prepare(loss.program, parameters: parameters, states: nil)
    (losses, correct) = (.allocate(capacity: batch.targets.count), .allocate(capacity: batch.targets.count))
    for buffer in [losses, correct] { buffer.initialize(repeating: 0) }
    try execution.set(loss.normalizer, [Float(1)])
  }

  deinit {
    losses.deallocate()
    correct.deallocate()
  }

  package var batchTokens: Int { max(1, predictedTokens * batch.rows / max(1, examples.rowCount)) }
  package var predictedTokens: Int { examples.targetCount }

  package func evaluate(limit: Int?) throws(ComputeError) -> EvaluationResult {
    var result = EvaluationResult()
    let batches = (examples.rowCount + batch.rows - 1) / batch.rows
    for number in Evaluator.batches(of: batches, size: batchTokens, limit: limit) {
      let start = number * batch.rows
      for place in 0..<batch.rows {
        examples.write(start + place < examples.rowCount ? start + place : nil, to: place, of: batch)
      }
      try run()
      for index in batch.weights.indices where batch.weights[index] != 0 {
        result.nats += Double(losses[index])
        result.correct += correct[index] == 1 ? 1 : 0
        result.tokens += 1
      }
    }
    return result
  }

  private func run() throws(ComputeError) {
    try batch.bind(rows: 0..<batch.rows, to: loss, of: execution)
    try execution.run(RunContext())
    try execution.get(loss.losses, into: losses)
    try execution.get(loss.correct, into: correct)
  }
}
