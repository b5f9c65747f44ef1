import Compute
import ComputeCPU
import Models
import Testing

@Suite("A profile of the CPU executor")
struct StepProfileTests {
  /// A small model's loss and gradients, and the passes over its parameters.
  private struct Step {
    let profile = StepProfile()
    let program: LossProgram
    let store: any ParameterStore
    let execution: any Execution

    init() throws {
      let config = ModelConfig(
        .llama, vocabularySize: 31, hiddenSize: 16, layers: 2, heads: 2, maxPositions: 8)
      let transformer = try Transformer(config)
      let executor = try CPUExecutor(threads: 2, profile: profile)
      store = try executor.makeParameters(transformer.parameterLayout, training: true)
      try Initialization(config).fill(store, seed: 1)
      program = try transformer.lossProgram(batch: 3, time: 8, training: true)
      execution = try executor.prepare(program.program, parameters: store, states: nil)
      try execution.set(program.ids, (0..<24).map { Int32($0) })
      try execution.set(program.targets, (1..<25).map { Int32($0) })
      try execution.set(program.weights, [Float](repeating: 1, count: 24))
      try execution.set(program.normalizer, [Float(24)])
    }

    func run() throws -> (losses: [Float], norm: Double) {
      try execution.run(RunContext(seed: 1))
      try store.update(
        OptimizerUpdate(step: 1, learningRate: 0, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0))
      let norm = try store.nextReport().gradientNorm
      return try (execution.get(program.losses), norm)
    }
  }

  @Test("notes nothing until it is on, nor when it is off again")
  func isOff() throws {
    let step = try Step()
    _ = try step.run()
    #expect(step.profile.entries.isEmpty)
    step.profile.isOn = true
    _ = try step.run()
    let once = step.profile.entries
    step.profile.isOn = false
    _ = try step.run()
    #expect(!once.isEmpty && step.profile.entries == once)
  }

  @Test("has every operation of every run, and its FLOPs")
  func isComplete() throws {
    let step = try Step()
    step.profile.isOn = true
    for _ in 0..<3 { try _ = step.run() }
    var expected = ["GradientNorm": 3, "AdamW": 3]
    for operation in step.program.program.graph.operations { expected[operation.kind, default: 0] += 3 }
    #expect(step.profile.entries.mapValues(\.calls) == expected)
    #expect(expected["LinearInputGradient"] == 3 * 8)
    let flops = step.profile.entries.values.reduce(0) { $0 + $1.flops }
    #expect(flops > 0 && flops == 3 * step.program.program.flops)
  }

  @Test("has times that add up to no more than the whole took")
  func addsUp() throws {
    let step = try Step()
    step.profile.isOn = true
    let took = try ContinuousClock().measure { for _ in 0..<5 { _ = try step.run() } }
    let parts = step.profile.entries.values.map(\.seconds)
    #expect(parts.allSatisfy { $0 > 0 })
    #expect(.seconds(parts.reduce(0, +)) <= took + .nanoseconds(parts.count))
  }

  @Test("changes no bit")
  func isNeutral() throws {
    let (plain, profiled) = (try Step(), try Step())
    profiled.profile.isOn = true
    let (a, b) = try (plain.run(), profiled.run())
    #expect(a.losses.map(\.bitPattern) == b.losses.map(\.bitPattern) && a.norm == b.norm && a.norm > 0)
  }
}
