import Compute
import ComputeCPU
import Models
import Testing
import Training

@Suite("A test of speed")
struct SpeedTestTests {
  @Test("makes real updates of every architecture", arguments: ModelConfig.Architecture.allCases)
  func updates(architecture: ModelConfig.Architecture) throws {
    var settings = Settings(
      model: ModelConfig(architecture, vocabularySize: 31, hiddenSize: 16, layers: 2, heads: 2, maxPositions: 8))
    settings.train.batchSize = 6
    settings.train.microBatchSize = 2
    settings.train.context = 8
    let profile = StepProfile()
    let test = try SpeedTest(settings, executor: CPUExecutor(threads: 1, profile: profile))
    profile.isOn = true
    let times = try test.run(updates: 2)
    #expect(times.count == 2 && times.allSatisfy { $0 > 0 })
    #expect(test.tokensPerUpdate == 48)
    // Of three passes each; a loss that is none would make no update.
    #expect(profile.entries["HeadLoss"]?.calls == 6)
    #expect(profile.entries["AdamW"]?.calls == 2)
    let flops = profile.entries.values.reduce(0) { $0 + $1.flops }
    #expect(flops == 2 * test.flops)
  }
}
