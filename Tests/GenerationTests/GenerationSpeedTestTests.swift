import Compute
import ComputeCPU
import Generation
import Models
import TestSupport
import Testing

@Suite("A test of the speed of generation")
struct GenerationSpeedTestTests {
  @Test("reads the prompt, then writes token by token", arguments: ModelConfig.Architecture.decoders)
  func writes(architecture: ModelConfig.Architecture) throws {
    let profile = StepProfile()
    let executor = try CPUExecutor(threads: 1, profile: profile)
    let test = try GenerationSpeedTest(.tiny(architecture, context: 16), executor: executor, prompt: 5)
    #expect(try test.readPrompt() > 0)
    profile.isOn = true
    let times = try test.run(tokens: 11)
    #expect(times.count == 11 && times.allSatisfy { $0 > 0 })
    // One pass a token: a full context would be read again.
    #expect(profile.entries["Logits"]?.calls == 11)
    #expect(profile.entries["CachedAttention"]?.calls == 22)
  }

  @Test("is refused for a model that sees both sides")
  func encoder() throws {
    #expect(throws: ComputeError.self) {
      try GenerationSpeedTest(.tiny(.encoder), executor: CPUExecutor(threads: 1), prompt: 5)
    }
  }
}
