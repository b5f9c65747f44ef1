package import Compute
package import Models
import TestSupport
import Training

/// A tiny training on two executors, update by update.
package enum TrainingCheck {
  package static let architectures: [ModelConfig.Architecture] = [.gpt2, .qwen3, .nanochat, .mayfly]
  package static let precisions: [Precision] = [.fp32, .bf16]
  /// Trained with Muon, too.
  package static let withMuon = ModelConfig.Architecture.nanochat

  /// The largest difference of the losses; infinite where nothing was learned.
  package static func run(
    _ architecture: ModelConfig.Architecture, _ precision: Precision, usesMuon: Bool = false, updates: Int = 50,
    on executor: any Executor, beside other: any Executor
  ) throws -> Finding {
    let expected = try losses(architecture, precision, usesMuon: usesMuon, updates: updates, on: other)
    let found = try losses(architecture, precision, usesMuon: usesMuon, updates: updates, on: executor)
    let learns = expected[updates - 1] < expected[0] - 0.5 && found.allSatisfy(\.isFinite)
    let error = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
    return Finding(
      name: "\(architecture)" + (usesMuon ? " with Muon" : ""), error: learns ? error : .infinity,
      tolerance: precision == .fp32 ? 1e-4 : 2e-2)
  }

  /// The losses of updates with all that a step has: accumulation, dropout, clipping.
  package static func losses(
    _ architecture: ModelConfig.Architecture, _ precision: Precision, usesMuon: Bool = false, updates: Int,
    on executor: any Executor
  ) throws -> [Double] {
    var model = ModelConfig(architecture, vocabularySize: 61, hiddenSize: 64, layers: 2, heads: 2, maxPositions: 16)
    if architecture == .qwen3 { (model.keyValueHeads, model.headSize) = (1, 32) }
    model.dropout = 0.1
    var settings = Settings(model: model)
    settings.train.batchSize = 4
    settings.train.microBatchSize = 2
    settings.train.context = 16
    settings.train.precision = precision
    settings.train.optimizer = usesMuon ? .muon : .adamw
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(transformer.parameterLayout, training: true)
    try Initialization(settings.model).fill(store, seed: 3)
    let update = try UpdateStep(transformer, settings: settings.train, store: store, executor: executor)
    let source = Counting()
    return try (1...updates).map { step in
      try update.run(step: step, firstMicroStep: 2 * step, rateFactor: 1, source: source).loss
    }
  }
}

/// Each token follows from the one before: something to learn.
private final class Counting: BatchSource {
  private var token: Int32 = 1

  var mask: MaskKind { .causal }
  var dataWaitSeconds: Double { 0 }

  func move(to place: DataPlace) {}

  func next(_ batch: TokenBatch) {
    for index in batch.ids.indices {
      batch.ids[index] = token
      token = (token * 5 + 7) % 61
      batch.targets[index] = token
    }
  }
}
