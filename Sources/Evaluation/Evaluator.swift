package import Compute
package import Models

/// Measures how well a model predicts the rows of a split.
package final class Evaluator {
  /// Fills up to B rows of T inputs, targets and weights (all three B·T, zeroed before) and says how many rows there
  /// were; 0: no more.
  package typealias Rows = (
    _ inputs: UnsafeMutableBufferPointer<Int32>, _ targets: UnsafeMutableBufferPointer<Int32>,
    _ weights: UnsafeMutableBufferPointer<Float>
  ) throws -> Int

  package let batch: Int
  package let time: Int
  private let loss: LossProgram
  private let execution: any Execution
  private var inputs: [Int32]
  private var targets: [Int32]
  private var weights: [Float]
  private var losses: [Float]
  private var correct: [Float]

  /// - Parameter parameters: the weights as they are whenever ``evaluate(_:bytesOfToken:limit:)`` is called.
  /// - Throws: ``ComputeError``.
  package init(
    _ transformer: Transformer, weights parameters: any ParameterStore, executor: any Executor, batch: Int, time: Int
  ) throws(ComputeError) {
    self.batch = batch
    self.time = time
    loss = try transformer.lossProgram(batch: batch, time: time, training: false)
    execution = try executor.prepare(loss.program, parameters: parameters, states: nil)
    inputs = [Int32](repeating: 0, count: batch * time)
    targets = inputs
    weights = [Float](repeating: 0, count: batch * time)
    losses = weights
    correct = weights
    execution.set(loss.positions, (0..<batch * time).map { Int32($0 % time) })
    execution.set(loss.normalizer, [Float(1)])
  }

  /// Loss and accuracy over all rows, summed in fp64 in the order of the rows.
  ///
  /// - Parameters:
  ///   - bytesOfToken: UTF-8 bytes of each id, 0 for special tokens; nil where ids have no text.
  ///   - limit: stop after so many tokens; nil: all.
  package func evaluate(
    _ rows: Rows, bytesOfToken: [Int]?, limit: Int? = nil
  ) throws -> EvaluationResult {
    var result = EvaluationResult(bytes: bytesOfToken == nil ? nil : 0)
    while limit.map({ result.tokens < $0 }) ?? true {
      clear()
      let count = try inputs.withUnsafeMutableBufferPointer { inputs in
        try targets.withUnsafeMutableBufferPointer { targets in
          try weights.withUnsafeMutableBufferPointer { weights in try rows(inputs, targets, weights) }
        }
      }
      guard count > 0 else { break }
      run()
      for index in 0..<count * time where weights[index] != 0 {
        result.nats += Double(losses[index])
        result.correct += correct[index] == 1 ? 1 : 0
        result.tokens += 1
        if let bytesOfToken { result.bytes? += bytesOfToken[Int(targets[index])] }
      }
    }
    return result
  }

  private func clear() {
    for index in inputs.indices {
      inputs[index] = 0
      targets[index] = 0
      weights[index] = 0
    }
  }

  private func run() {
    execution.set(loss.ids, inputs)
    execution.set(loss.targets, targets)
    execution.set(loss.weights, weights)
    execution.run(RunContext())
    losses.withUnsafeMutableBufferPointer { execution.get(loss.losses, into: $0) }
    correct.withUnsafeMutableBufferPointer { execution.get(loss.correct, into: $0) }
  }
}
