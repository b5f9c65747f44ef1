package import Compute
package import Models

/// One update of the weights: forward, backward, accumulate, clip, optimize. Allocates nothing once made.
package final class UpdateStep {
  /// Passes of more tokens lose nothing when they are halved: where memory is short, that comes before activations are made
  /// again.
  private static let fewTokens = 1 << 14

  private let settings: TrainSettings
  private let store: any ParameterStore
  private let program: LossProgram
  private let execution: any Execution
  private let microBatch: Int
  /// One for each size.
  private let batches: [TokenBatch]
  private let contexts: [Int]

  /// Floating-point operations for each token.
  package var flopsPerToken: Double { program.program.flops / Double(microBatch * settings.context) }
  /// Bytes of activations, for reports.
  package var activationBytes: Int { program.program.memory.byteCount }

  /// - Throws: ``ComputeError``.
  package init(
    _ transformer: Transformer, settings: TrainSettings, mask: MaskKind = .causal, perRow: Int? = nil,
    store: any ParameterStore, executor: any Executor
  ) throws(ComputeError) {
    self.settings = settings
    self.store = store
    microBatch = settings.resolvedMicroBatch
    let (B, T) = (microBatch, settings.context)
    let precision = settings.precision ?? .fp32
    contexts = settings.contexts
    let mask = contexts.count > 1 ? .ranges : mask
    func prepare(keepsActivations: Bool) throws(ComputeError) -> (LossProgram, any Execution) {
      let program =
        if let perRow {
          try transformer.labelLossProgram(
            batch: B, time: T, perRow: perRow, training: true, keepsActivations: keepsActivations,
            terms: settings.lossTerms, precision: precision)
        } else {
          try transformer.lossProgram(
            batch: B, time: T, training: true, keepsActivations: keepsActivations, terms: settings.lossTerms,
            mask: mask, precision: precision)
        }
      return (program, try executor.prepare(program.program, parameters: store, states: nil))
    }
    do {
      (program, execution) = try prepare(keepsActivations: executor.keepsActivations)
    } catch .outOfMemory where executor.keepsActivations && (B == 1 || B * T <= Self.fewTokens) {
      (program, execution) = try prepare(keepsActivations: false)
    }
    if settings.optimizer == .muon { try store.reserveMuon() }
    batches = settings.batchSizes.map { TokenBatch(rows: $0, time: T, mask: mask, perRow: perRow) }
  }

  /// Rows of an update.
  ///
  /// - Parameter progress: the share of the run that is done, in 0...1.
  package func rows(at progress: Double) -> Int { batch(at: progress).rows }

  private func batch(at progress: Double) -> TokenBatch { Self.stage(of: batches, at: progress) }

  private static func stage<T>(of stages: [T], at progress: Double) -> T {
    stages[min(stages.count - 1, Int(progress * Double(stages.count)))]
  }

  /// Sends update `step` (from 1) to the device; ``finish()`` reports it. At most two may be under way.
  ///
  /// - Parameters:
  ///   - progress: the share of the run that is done, in 0...1, which says how large the batch is and how far back tokens see.
  ///   - firstMicroStep: passes done before, the counter of random numbers.
  ///   - rateFactor: what the learning rates are times those of the settings.
  ///   - lossScale: what gradients are computed times, in fp16; it is gone from the norm and the update.
  ///   - limits: beyond which the update is skipped.
  package func begin(
    step: Int, progress: Double = 1, firstMicroStep: Int, rateFactor: Float, lossScale: Float = 1,
    limits: SpikeGuard.Limits = SpikeGuard.Limits(), source: any BatchSource
  ) throws {
    let batch = batch(at: progress)
    try source.next(batch)
    if contexts.count > 1 {
      batch.look(back: Self.stage(of: contexts, at: progress), isCausal: source.mask == .causal)
    }
    // Of the whole update, so that micro-steps add up to one large batch. Where nothing counts, all sums are 0.
    let total = batch.totalWeight
    let normalizer = total > 0 ? total : 1
    try withUnsafePointer(to: Float(normalizer)) {
      try execution.set(program.normalizer, UnsafeBufferPointer(start: $0, count: 1))
    }
    for micro in 0..<batch.rows / microBatch {
      let rows = micro * microBatch..<(micro + 1) * microBatch
      try batch.bind(rows: rows, to: program, of: execution)
      try execution.run(
        RunContext(
          seed: settings.seed, microStep: UInt32(truncatingIfNeeded: firstMicroStep + micro), accumulates: micro > 0,
          lossScale: lossScale))
    }
    var update = OptimizerUpdate(
      step: step, learningRate: settings.learningRate * rateFactor, beta1: settings.beta1, beta2: settings.beta2,
      epsilon: settings.epsilon, weightDecay: settings.weightDecay, clip: settings.gradientClip,
      lossScale: lossScale, seed: settings.seed)
    (update.mostLoss, update.mostGradientNorm) = (limits.loss, limits.gradientNorm)
    update.embeddingRate = settings.embeddingLearningRate.map { $0 * rateFactor }
    if settings.optimizer == .muon {
      update.muon = OptimizerUpdate.Muon(
        learningRate: settings.matrixLearningRate * rateFactor, momentum: settings.momentum(atStep: step),
        weightDecay: settings.weightDecay)
    }
    try store.update(update)
  }

  /// One update from its beginning to its end.
  package func run(
    step: Int, firstMicroStep: Int, rateFactor: Float, lossScale: Float = 1, source: any BatchSource
  ) throws -> UpdateReport {
    try begin(
      step: step, firstMicroStep: firstMicroStep, rateFactor: rateFactor, lossScale: lossScale, source: source)
    return try finish()
  }

  /// What the oldest update under way has found, when the device is done with it.
  package func finish() throws(ComputeError) -> UpdateReport {
    try store.nextReport()
  }
}
