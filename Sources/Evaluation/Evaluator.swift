package import Compute
package import Corpus
package import Models

/// Measures how well a model predicts the rows of a split.
package final class Evaluator {
  package let batch: Int
  package let time: Int
  private let loss: LossProgram
  private let execution: any Execution
  /// All (B, T).
  private let inputs: UnsafeMutableBufferPointer<Int32>
  private let targets: UnsafeMutableBufferPointer<Int32>
  private let weights: UnsafeMutableBufferPointer<Float>
  private let losses: UnsafeMutableBufferPointer<Float>
  private let correct: UnsafeMutableBufferPointer<Float>

  /// - Parameter parameters: the weights as they are whenever ``evaluate(_:bytes:limit:)`` is called.
  /// - Throws: ``ComputeError``.
  package init(
    _ transformer: Transformer, weights parameters: any ParameterStore, executor: any Executor, batch: Int, time: Int
  ) throws(ComputeError) {
    self.batch = batch
    self.time = time
    loss = try transformer.lossProgram(batch: batch, time: time, training: false)
    execution = try executor.prepare(loss.program, parameters: parameters, states: nil)
    (inputs, targets) = (.allocate(capacity: batch * time), .allocate(capacity: batch * time))
    weights = .allocate(capacity: batch * time)
    (losses, correct) = (.allocate(capacity: batch * time), .allocate(capacity: batch * time))
    for buffer in [inputs, targets] { buffer.initialize(repeating: 0) }
    for buffer in [weights, losses, correct] { buffer.initialize(repeating: 0) }
    execution.set(loss.positions, (0..<batch * time).map { Int32($0 % time) })
    execution.set(loss.normalizer, [Float(1)])
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
  ///   - limit: stop after so many tokens; nil: all.
  /// - Throws: ``CorpusError``.
  package func evaluate(
    _ rows: EvaluationRows, bytes: TokenBytes?, limit: Int? = nil
  ) throws(CorpusError) -> EvaluationResult {
    precondition(rows.batchSize == batch && rows.context == time)
    var result = EvaluationResult(bytes: bytes == nil ? nil : 0)
    for index in 0..<rows.batchCount {
      if let limit, result.tokens >= limit { break }
      try rows.read(batch: index, inputs: inputs, targets: targets, weights: weights)
      run()
      for index in 0..<batch * time where weights[index] != 0 {
        result.nats += Double(losses[index])
        result.correct += correct[index] == 1 ? 1 : 0
        result.tokens += 1
        if let bytes { result.bytes? += bytes[targets[index]] }
      }
    }
    return result
  }

  private func run() {
    execution.set(loss.ids, UnsafeBufferPointer(inputs))
    execution.set(loss.targets, UnsafeBufferPointer(targets))
    execution.set(loss.weights, UnsafeBufferPointer(weights))
    execution.run(RunContext())
    execution.get(loss.losses, into: losses)
    execution.get(loss.correct, into: correct)
  }
}
