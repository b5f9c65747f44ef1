package import Compute
import Evaluation
import Models

/// Real updates on tokens by chance, to measure with before there is any data.
///
/// The learning rate is 0: the work is the same, and nothing can diverge.
package final class SpeedTest {
  private let settings: TrainSettings
  private let store: any ParameterStore
  private let update: UpdateStep
  private let source: any BatchSource
  private var step = 0

  /// - Throws: ``ComputeError``.
  package init(_ settings: Settings, executor: any Executor) throws(ComputeError) {
    self.settings = settings.train
    let transformer = try Transformer(settings.model)
    store = try executor.makeParameters(
      transformer.parameterLayout, training: true, moments: settings.train.moments ?? .fp32)
    try Initialization(settings.model).fill(store, seed: settings.train.seed)
    let V = settings.model.vocabularySize
    if settings.model.isBidirectional {
      // The last id is the mask.
      source = MaskedSource(
        NoiseSource(vocabularySize: max(1, V - 1)),
        masking: Masking(
          maskToken: Int32(clamping: V - 1), vocabularySize: V, tokenizer: nil, seed: settings.train.seed))
    } else {
      source = NoiseSource(vocabularySize: V)
    }
    update = try UpdateStep(
      transformer, settings: settings.train, mask: source.mask, store: store, executor: executor)
  }

  package var parameters: Int { store.layout.parameterCount }
  package var tokensPerUpdate: Int { settings.batchSize * settings.context }
  /// Floating-point operations of one update, as the program counts them.
  package var flops: Double { update.flops }

  /// Makes so many updates.
  ///
  /// - Returns: the seconds that each took.
  package func run(updates: Int) throws -> [Double] {
    try (0..<updates).map { _ in
      step += 1
      let start = ContinuousClock.now
      _ = try update.run(
        step: step, firstMicroStep: (step - 1) * (settings.batchSize / settings.resolvedMicroBatch), learningRate: 0,
        source: source)
      return seconds(ContinuousClock.now - start)
    }
  }
}

/// Tokens by chance.
private final class NoiseSource: BatchSource {
  private var generator = PhiloxGenerator(seed: 0)
  private let vocabularySize: UInt64

  init(vocabularySize: Int) {
    self.vocabularySize = UInt64(vocabularySize)
  }

  var mask: MaskKind { .causal }
  var dataWaitSeconds: Double { 0 }

  func next(_ batch: TokenBatch) {
    for index in batch.ids.indices { batch.ids[index] = Int32(generator.next() % vocabularySize) }
    for index in batch.targets.indices { batch.targets[index] = Int32(generator.next() % vocabularySize) }
  }
}
