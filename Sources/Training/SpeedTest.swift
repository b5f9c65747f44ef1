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
  private let runsAhead: Bool
  private var step = 0

  /// - Throws: ``ComputeError``.
  package init(_ settings: Settings, executor: any Executor) throws(ComputeError) {
    self.settings = settings.train
    runsAhead = executor.runsAhead
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
  package var flops: Double { update.flopsPerToken * Double(tokensPerUpdate) }

  /// Makes so many updates, each sent to the device while it is at the one before where it can be.
  ///
  /// - Returns: the seconds that each took.
  package func run(updates: Int) throws -> [Double] {
    let ahead = runsAhead ? 1 : 0
    let microSteps = settings.batchSize / settings.resolvedMicroBatch
    var times: [Double] = []
    var end = ContinuousClock.now
    for turn in 0..<updates + ahead {
      if turn < updates {
        step += 1
        try update.begin(step: step, firstMicroStep: (step - 1) * microSteps, rateFactor: 0, source: source)
      }
      guard turn >= ahead else { continue }
      _ = try update.finish()
      times.append(seconds(ContinuousClock.now - end))
      end = ContinuousClock.now
    }
    return times
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

  func move(to place: DataPlace) {}

  func next(_ batch: TokenBatch) {
    for index in batch.ids.indices { batch.ids[index] = Int32(generator.next() % vocabularySize) }
    for index in batch.targets.indices { batch.targets[index] = Int32(generator.next() % vocabularySize) }
  }
}
