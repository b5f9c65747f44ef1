package import Compute
package import Models

/// One update of the weights: forward, backward, accumulate, clip, AdamW. Allocates nothing once made.
package final class UpdateStep {
  /// Fills rows of inputs and targets, both (rows, T).
  package typealias Batches = (
    _ inputs: UnsafeMutableBufferPointer<Int32>, _ targets: UnsafeMutableBufferPointer<Int32>
  ) throws -> Void

  package struct Result: Sendable {
    /// Mean over the update's tokens, before the update; nats.
    package var loss = 0.0
    package var accuracy = 0.0
    /// Before clipping.
    package var gradientNorm = 0.0
  }

  private let settings: TrainSettings
  private let store: any ParameterStore
  private let program: LossProgram
  private let execution: any Execution
  private let microBatch: Int
  private let microSteps: Int
  private let inputs: UnsafeMutableBufferPointer<Int32>
  private let targets: UnsafeMutableBufferPointer<Int32>
  private let losses: UnsafeMutableBufferPointer<Float>

  /// Floating-point operations of one update.
  package var flops: Double { program.program.flops * Double(microSteps) }
  /// Bytes of activations, for reports.
  package var activationBytes: Int { program.program.memory.count * 4 }

  /// - Throws: ``ComputeError``.
  package init(
    _ transformer: Transformer, settings: TrainSettings, store: any ParameterStore, executor: any Executor
  ) throws(ComputeError) {
    self.settings = settings
    self.store = store
    microBatch = settings.resolvedMicroBatch
    microSteps = settings.batchSize / microBatch
    let (B, T) = (microBatch, settings.context)
    program = try transformer.lossProgram(batch: B, time: T, training: true)
    execution = try executor.prepare(program.program, parameters: store, states: nil)
    inputs = .allocate(capacity: B * T)
    targets = .allocate(capacity: B * T)
    losses = .allocate(capacity: B * T)
    inputs.initialize(repeating: 0)
    targets.initialize(repeating: 0)
    losses.initialize(repeating: 0)
    execution.set(program.positions, (0..<B * T).map { Int32($0 % T) })
    execution.set(program.weights, [Float](repeating: 1, count: B * T))
    // Of the whole update, so that micro-steps add up to one large batch.
    execution.set(program.normalizer, [Float(settings.batchSize * T)])
  }

  deinit {
    inputs.deallocate()
    targets.deallocate()
    losses.deallocate()
  }

  /// Runs update `step` (from 1).
  ///
  /// - Parameter firstMicroStep: passes done before, the counter of random numbers.
  package func run(
    step: Int, firstMicroStep: Int, learningRate: Float, batches: Batches
  ) throws -> Result {
    var result = Result()
    let tokens = Double(settings.batchSize * settings.context)
    for micro in 0..<microSteps {
      try batches(inputs, targets)
      execution.set(program.ids, UnsafeBufferPointer(inputs))
      execution.set(program.targets, UnsafeBufferPointer(targets))
      execution.run(
        RunContext(
          seed: settings.seed, microStep: UInt32(truncatingIfNeeded: firstMicroStep + micro), accumulates: micro > 0))
      result.loss += sum(of: program.losses) / tokens
      result.accuracy += sum(of: program.correct) / tokens
    }
    result.gradientNorm = store.gradientNorm()
    // As torch.nn.utils.clip_grad_norm_ does it.
    let clip = Double(settings.gradientClip)
    let scale = clip > 0 ? min(1, clip / (result.gradientNorm + 1e-6)) : 1
    if result.loss.isFinite, result.gradientNorm.isFinite {
      store.adamW(
        AdamWUpdate(
          step: step, learningRate: learningRate, beta1: settings.beta1, beta2: settings.beta2,
          epsilon: settings.epsilon, weightDecay: settings.weightDecay, gradientScale: Float(scale)))
    }
    return result
  }

  private func sum(of node: Node) -> Double {
    execution.get(node, into: losses)
    var sum = 0.0
    for value in losses { sum += Double(value) }
    return sum
  }
}
