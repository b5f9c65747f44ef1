package import Compute
package import Corpus
package import Models

/// Everything that a run depends on, resolved: what `run.yaml` holds.
package struct Settings: Sendable, Equatable {
  package var model: ModelConfig
  package var data = DataSettings()
  package var train = TrainSettings()

  package init(model: ModelConfig) {
    self.model = model
  }
}

package struct DataSettings: Sendable, Equatable {
  package enum Packing: String, Sendable, CaseIterable {
    case none
    /// Rows of whole documents.
    case bestFit = "best-fit"
  }

  package var order = RowOrder.Kind.shuffled
  package var packing = Packing.none
  /// How many rows of each data set beside the others; nil: as many as it has tokens.
  package var weights: [Double]?
  /// No token of a row sees another document than its own.
  package var documentMask = false
  /// The share of merges that are left out when words of the training split are cut into tokens anew; 0: tokens stay.
  package var bpeDropout: Float = 0
  /// Batches laid out ahead of the step.
  package var prefetch = 4
  /// Bytes of shards kept in memory.
  package var cache = 1 << 30
}

package struct TrainSettings: Sendable, Equatable {
  package enum Decay: String, Sendable, CaseIterable {
    case cosine, linear, constant
    /// Warmup, a stable part, decay: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    /// Durations", arXiv:2405.18392.
    case wsd
  }

  package enum Optimizer: String, Sendable, CaseIterable {
    case adamw
    /// Muon for the matrices inside of the model, AdamW for the rest.
    case muon
  }

  /// How much an example counts in a classification.
  package enum ClassWeights: String, Sendable, CaseIterable {
    case none
    /// The rarer its label, the more: every label counts the same in all.
    case balanced
  }

  /// Updates in all; nil when a budget decides.
  package var steps: Int?
  /// Wall-clock seconds; nil when `steps` decides.
  package var budget: Double?
  /// B: sequences per update; where `firstBatchSize` is set, at the end.
  package var batchSize = 16
  /// Sequences per update at the beginning. They double on the way to `batchSize`, each number for an equal share of the
  /// run: while the loss falls, the noise of a batch's gradient matters more and more. McCandlish et al.,
  /// arXiv:1812.06162, section 4. Nil: `batchSize`.
  package var firstBatchSize: Int?
  /// Sequences per pass; nil: the whole batch, as far as memory allows.
  package var microBatchSize: Int?
  /// T: tokens per sequence.
  package var context = 128
  /// How far back a token sees at the beginning, itself among them. It doubles on the way to `context`, each window for an
  /// equal share of the run: what is near is learned first. Nil: `context`.
  package var firstContext: Int?
  package var optimizer = Optimizer.adamw
  /// AdamW's, of all that has no rate of its own.
  package var learningRate: Float = 1e-3
  /// AdamW's, of embeddings; nil: as the rest.
  package var embeddingLearningRate: Float?
  /// Muon's.
  package var matrixLearningRate: Float = 0.02
  /// Muon's, after its warmup.
  package var momentum: Float = 0.95
  /// Updates in which Muon's momentum rises to `momentum`; 0: none.
  package var momentumWarmup = 300
  package var beta1: Float = 0.9
  package var beta2: Float = 0.95
  package var epsilon: Float = 1e-8
  package var weightDecay: Float = 0.1
  /// The global gradient norm is clipped to it; 0: not.
  package var gradientClip: Float = 1
  package var lossTerms = HeadLoss.Terms()
  package var warmupSteps = 30
  package var schedule = Decay.linear
  /// The share of the run, at its end, in which the rate of `wsd` falls.
  package var decayShare: Float = 0.5
  package var minLearningRateRatio: Float = 0
  /// Updates between evaluations; 0: only at the end.
  package var evalEvery = 0
  /// Updates between checkpoints; 0: only at the end.
  package var checkpointEvery = 0
  package var keepCheckpoints = 2
  /// Evaluations in a row that may bring nothing better before the run ends; 0: any number.
  package var patience = 0
  /// How often a run that goes wrong may go back to a good checkpoint.
  package var maxRollbacks = 3
  package var classWeights = ClassWeights.none
  /// What activations and products are computed in; nil: what is fastest.
  package var precision: Precision?
  /// What the optimizer's moments are kept in where `precision` is bf16; nil: bf16. Elsewhere they are fp32.
  package var moments: Precision?
  package var seed: UInt64 = 1337

  package init() {}

  /// Sequences of one pass: the largest divisor of every batch that is no larger than asked.
  package var resolvedMicroBatch: Int {
    let least = batchSizes[0]
    let wanted = min(microBatchSize ?? least, least)
    return (1...max(1, wanted)).last { least.isMultiple(of: $0) } ?? 1
  }

  /// The sizes that batches have on the way.
  package var batchSizes: [Int] { Self.doubling(from: firstBatchSize, to: batchSize) }

  /// How far back tokens see on the way.
  package var contexts: [Int] { Self.doubling(from: firstContext, to: context) }

  private static func doubling(from first: Int?, to last: Int) -> [Int] {
    var sizes = [last]
    while let first, sizes[0] > first, sizes[0].isMultiple(of: 2) { sizes.insert(sizes[0] / 2, at: 0) }
    return sizes
  }

  /// Muon's momentum rises to what is set: gradients change fast at first. Jordan et al., modded-nanogpt.
  package func momentum(atStep step: Int) -> Float {
    guard step < momentumWarmup else { return momentum }
    let first = min(0.85, momentum)
    return first + (momentum - first) * Float(step) / Float(momentumWarmup)
  }

  /// Makes passes at most half as large, for memory's sake; updates stay what they are. Nil: one row is the least.
  package func withHalfMicroBatch() -> TrainSettings? {
    guard resolvedMicroBatch > 1 else { return nil }
    var smaller = self
    smaller.microBatchSize = resolvedMicroBatch / 2
    smaller.microBatchSize = smaller.resolvedMicroBatch
    return smaller
  }
}

extension Settings {
  /// Halves the passes until what is made from these settings fits into memory.
  ///
  /// - Parameter halved: is told what could not be had; passes are smaller then.
  /// - Throws: what `make` does; ``ComputeError/outOfMemory(bytes:purpose:)`` where one row is too much.
  package mutating func fitting<T>(
    halved: (_ bytes: Int, _ purpose: String, Settings) -> Void = { _, _, _ in }, _ make: (Settings) throws -> T
  ) throws -> T {
    while true {
      do {
        return try make(self)
      } catch ComputeError.outOfMemory(let bytes, let purpose) {
        guard let smaller = train.withHalfMicroBatch() else {
          throw ComputeError.outOfMemory(bytes: bytes, purpose: purpose)
        }
        train = smaller
        halved(bytes, purpose, self)
      }
    }
  }

  /// Chooses what is left to the machine, so that a resumed run goes on with the same choice.
  package mutating func choosePrecision(for executor: any Executor) {
    let precision = train.precision ?? executor.fastestPrecision
    train.precision = precision
    train.moments = precision == .bf16 ? train.moments ?? .bf16 : .fp32
  }
}
