import Compute
import ComputeCPU
import Models
import Testing
import Training

@Suite("The scaling law")
struct ScalingLawTests {
  private func bits(
    parameters: Int = 1_000_000, tokens: Double = 1e6, batchTokens: Int = 1024, trainTokens: Int = 10_000_000
  ) -> Double {
    ScalingLaw().bitsPerByte(
      parameters: parameters, tokens: tokens, batchTokens: batchTokens, trainTokens: trainTokens, bytesPerToken: 2.5)
  }

  @Test("promises less loss of more parameters, more tokens and smaller batches")
  func direction() {
    #expect(bits(parameters: 2_000_000) < bits())
    #expect(bits(tokens: 2e6) < bits())
    #expect(bits(batchTokens: 512) < bits())
  }

  @Test("takes repeated tokens for less than new ones, and for nothing at last")
  func repetition() {
    #expect(ScalingLaw.usefulTokens(5, of: 10) == 5)
    #expect(ScalingLaw.usefulTokens(10, of: 10) == 10)
    // Four passes are nearly as good as new text, a hundred no better than fifty.
    #expect((36.0...40).contains(ScalingLaw.usefulTokens(40, of: 10)))
    #expect(ScalingLaw.usefulTokens(1000, of: 10) < 1.05 * ScalingLaw.usefulTokens(500, of: 10))
    #expect(bits(tokens: 2e6, trainTokens: 500_000) > bits(tokens: 2e6))
  }
}

@Suite("Planning a budget", .serialized)
struct PlannerTests {
  private func plan(
    budget: Double, trainTokens: Int = 2_000_000, choosesBatch: Bool = true, _ assignments: [String] = []
  ) throws -> Planner.Plan {
    var overrides = SettingOverrides()
    for assignment in assignments { try overrides.add(assignment: assignment) }
    return try Planner(
      executor: CPUExecutor(threads: 1), text: .init(trainTokens: trainTokens, bytesPerToken: 2.5),
      choosesBatch: choosesBatch
    ) { [overrides] preset in
      try Settings.resolve(preset: preset, overrides: overrides, initial: nil, tokens: 256)
    }.plan(budget: budget)
  }

  @Test("chooses the candidate of the lowest loss, and a larger model for more time and text")
  func choice() throws {
    let short = try plan(budget: 20)
    #expect(short.candidates.allSatisfy { $0.bitsPerByte >= short.chosen.bitsPerByte })
    #expect(
      short.candidates.map(\.settings.model.hiddenSize) == short.candidates.map(\.settings.model.hiddenSize).sorted())
    #expect(short.batches.contains { $0.settings == short.chosen.settings })
    #expect(short.candidates[0].isMeasured)
    let long = try plan(budget: 36_000, trainTokens: 500_000_000)
    #expect(long.chosen.parameters > short.chosen.parameters)
    #expect(long.chosen.bitsPerByte < short.chosen.bitsPerByte)
  }

  @Test("leaves what was asked for as it is")
  func asked() throws {
    let batch = try plan(budget: 20, choosesBatch: false, ["train.batch_size=6", "train.context=32"])
    #expect(batch.candidates.allSatisfy { $0.settings.train.batchSize == 6 && $0.settings.train.context == 32 })
    let model = try plan(
      budget: 20, ["model.hidden_size=48", "model.num_hidden_layers=2", "model.num_attention_heads=2"])
    #expect(model.candidates.count == 1 && model.chosen.settings.model.hiddenSize == 48)
  }

  @Test("measures for a small part of the budget")
  func calibration() throws {
    let long = try plan(budget: 3600)
    #expect(long.calibrationSeconds < 0.02 * 3600)
  }

  @Test("has a candidate for a budget in which nothing can be learned")
  func nothing() throws {
    let plan = try plan(budget: 0.001)
    #expect(plan.chosen.updates >= 1 && plan.chosen.bitsPerByte.isFinite)
  }
}
