import AllocationCounter
import Compute
import ComputeCPU
import Models
import TestSupport
import Testing
import Training

@Suite("An update", .serialized)
struct UpdateStepTests {
  private static func settings(
    _ architecture: ModelConfig.Architecture = .gpt2, batch: Int = 4, micro: Int? = nil, dropout: Float = 0
  ) -> Settings {
    var model = ModelConfig(architecture, vocabularySize: 61, hiddenSize: 32, layers: 2, heads: 4, maxPositions: 16)
    model.dropout = dropout
    var settings = Settings(model: model)
    settings.train.batchSize = batch
    settings.train.microBatchSize = micro
    settings.train.context = 16
    return settings
  }

  /// Trains a few updates on fixed tokens and returns the results.
  private func train(
    _ settings: Settings, updates: Int, on executor: some Executor
  ) throws -> (results: [UpdateStep.Result], store: any ParameterStore) {
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(transformer.parameterLayout, training: true)
    Initialization(settings.model).fill(store, seed: 3)
    let update = try UpdateStep(transformer, settings: settings.train, store: store, executor: executor)
    // Each token follows from the one before: something to learn.
    var tokens: [Int32] = [1]
    while tokens.count < 4096 { tokens.append((tokens[tokens.count - 1] * 5 + 7) % 61) }
    var position = 0
    var results: [UpdateStep.Result] = []
    for step in 1...updates {
      results.append(
        try update.run(step: step, firstMicroStep: step * 4, learningRate: 1e-2) { inputs, targets in
          for index in inputs.indices {
            inputs[index] = tokens[(position + index) % 4095]
            targets[index] = tokens[(position + index) % 4095 + 1]
          }
          position += inputs.count
        })
    }
    return (results, store)
  }

  @Test("calls malloc zero times", arguments: ModelConfig.Architecture.allCases)
  func allocatesNothing(architecture: ModelConfig.Architecture) throws {
    let settings = Self.settings(architecture, micro: 2, dropout: 0.1)
    let transformer = try Transformer(settings.model)
    let executor = try CPUExecutor(threads: 2)
    let store = try executor.makeParameters(transformer.parameterLayout, training: true)
    Initialization(settings.model).fill(store, seed: 3)
    let update = try UpdateStep(transformer, settings: settings.train, store: store, executor: executor)
    var id: Int32 = 0
    func run(_ step: Int) throws {
      _ = try update.run(step: step, firstMicroStep: step, learningRate: 1e-3) { inputs, targets in
        for index in inputs.indices {
          id = (id &* 5 &+ 7) % 61
          (inputs[index], targets[index]) = (id, id)
        }
      }
    }
    try run(1)
    allocation_counter_start()
    try run(2)
    try run(3)
    #expect(allocation_counter_stop() == 0)

    // The counter does count.
    allocation_counter_start()
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
    memory.deallocate()
    #expect(allocation_counter_stop() > 0)
  }

  @Test("follows the fp64 reference", arguments: ModelConfig.Architecture.allCases)
  func followsReference(architecture: ModelConfig.Architecture) throws {
    let settings = Self.settings(architecture, dropout: 0.2)
    let expected = try train(settings, updates: 4, on: ReferenceExecutor())
    let found = try train(settings, updates: 4, on: CPUExecutor(threads: 2))
    for (a, b) in zip(found.results, expected.results) {
      #expect(abs(a.loss - b.loss) <= 1e-4 * abs(b.loss))
      #expect(abs(a.gradientNorm - b.gradientNorm) <= 1e-3 * abs(b.gradientNorm))
    }
    #expect(expected.results[3].loss < expected.results[0].loss)
  }

  @Test("is the same when its batch is split", arguments: ModelConfig.Architecture.allCases)
  func accumulation(architecture: ModelConfig.Architecture) throws {
    let whole = try train(Self.settings(architecture), updates: 3, on: CPUExecutor(threads: 2))
    let split = try train(Self.settings(architecture, micro: 1), updates: 3, on: CPUExecutor(threads: 2))
    for (a, b) in zip(split.results, whole.results) {
      #expect(abs(a.loss - b.loss) <= 1e-5 * abs(b.loss))
      #expect(abs(a.gradientNorm - b.gradientNorm) <= 1e-4 * abs(b.gradientNorm))
      #expect(a.accuracy == b.accuracy)
    }
  }
}
