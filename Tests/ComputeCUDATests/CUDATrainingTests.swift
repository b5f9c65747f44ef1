import Compute
import ComputeCPU
import ComputeCUDA
import Models
import TestSupport
import Testing
import Training

/// Each token follows from the one before: something to learn.
private final class Counting: BatchSource {
  private var token: Int32 = 1

  var mask: MaskKind { .causal }
  var dataWaitSeconds: Double { 0 }

  func next(_ batch: TokenBatch) {
    for index in batch.ids.indices {
      batch.ids[index] = token
      token = (token * 5 + 7) % 61
      batch.targets[index] = token
    }
  }
}

/// The driver has the cores to itself: tests run one after another.
@Suite("Training on the CUDA path", .serialized)
struct SlowCUDATrainingTests {
  private static let updates = 50

  private func losses(
    _ architecture: ModelConfig.Architecture, _ precision: Precision, on executor: any Executor
  ) throws -> [Double] {
    var model = ModelConfig(architecture, vocabularySize: 61, hiddenSize: 64, layers: 2, heads: 2, maxPositions: 16)
    if architecture == .qwen3 { (model.keyValueHeads, model.headSize) = (1, 32) }
    model.dropout = 0.1
    var settings = Settings(model: model)
    settings.train.batchSize = 4
    settings.train.microBatchSize = 2
    settings.train.context = 16
    settings.train.precision = precision
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(transformer.parameterLayout, training: true)
    try Initialization(settings.model).fill(store, seed: 3)
    let update = try UpdateStep(transformer, settings: settings.train, store: store, executor: executor)
    let source = Counting()
    return try (1...Self.updates).map { step in
      try update.run(step: step, firstMicroStep: 2 * step, learningRate: 1e-3, source: source).loss
    }
  }

  @Test(
    "gives the losses that the CPU gives", arguments: [ModelConfig.Architecture.gpt2, .qwen3, .nanochat],
    [(Precision.fp32, 1e-4), (.bf16, 2e-2)])
  func followsTheCPU(architecture: ModelConfig.Architecture, precision: (Precision, tolerance: Double)) throws {
    let expected = try losses(architecture, precision.0, on: CPUExecutor())
    let found = try losses(architecture, precision.0, on: TestDriver.makeExecutor())
    #expect(expected[Self.updates - 1] < expected[0] - 0.5, "it learns")
    for (step, pair) in zip(found, expected).enumerated() {
      #expect(abs(pair.0 - pair.1) <= precision.tolerance, "update \(step + 1)")
    }
  }
}
