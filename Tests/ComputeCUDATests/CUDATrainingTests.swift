import CUDAChecks
import Compute
import ComputeCPU
import ComputeCUDA
import Models
import Testing

/// The driver has the cores to itself: tests run one after another.
@Suite("Training on the CUDA path", .serialized)
struct SlowCUDATrainingTests {
  /// Fewer than on a card: kernels run slowly here.
  private static let updates = 20

  @Test(
    "gives the losses that the CPU gives", arguments: TrainingCheck.architectures, TrainingCheck.precisions)
  func followsTheCPU(architecture: ModelConfig.Architecture, precision: Precision) throws {
    let finding = try TrainingCheck.run(
      architecture, precision, updates: Self.updates, on: TestDriver.makeExecutor(), beside: CPUExecutor())
    #expect(finding.passes, "\(finding.error)")
  }

  @Test("gives the losses that the CPU gives with Muon", arguments: TrainingCheck.precisions)
  func followsTheCPUWithMuon(precision: Precision) throws {
    let finding = try TrainingCheck.run(
      TrainingCheck.withMuon, precision, usesMuon: true, updates: Self.updates, on: TestDriver.makeExecutor(),
      beside: CPUExecutor())
    #expect(finding.passes, "\(finding.error)")
  }

  @Test("gives the same losses where GELU is part of products", arguments: TrainingCheck.precisions)
  func fused(precision: Precision) throws {
    let finding = try TrainingCheck.run(
      .gpt2, precision, updates: Self.updates, on: TestDriver.makeExecutor(fusesActivations: true),
      beside: CPUExecutor())
    #expect(finding.passes, "\(finding.error)")
  }

  @Test("goes on with the algorithms that it was given")
  func choices() throws {
    func train(_ choices: [String: String]) throws -> (losses: [Double], chosen: [String: String]) {
      let executor = try TestDriver.makeExecutor()
      executor.choices = choices
      let losses = try TrainingCheck.losses(.gpt2, .fp32, updates: 5, on: executor)
      return (losses, executor.choices)
    }
    let (first, chosen) = try train([:])
    #expect(!chosen.isEmpty)
    let (same, stillChosen) = try train(chosen)
    #expect(same == first && stillChosen == chosen)
    // The driver for tests has two algorithms, which round differently: the ninth byte is the number.
    let others = chosen.mapValues { text in
      let (head, number, tail) = (text.prefix(16), text.dropFirst(16).prefix(2), text.dropFirst(18))
      return "\(head)\(number == "00" ? "01" : "00")\(tail)"
    }
    let (different, stillOthers) = try train(others)
    #expect(different != first && stillOthers == others)
    // What is no algorithm of this library is chosen anew.
    let (_, anew) = try train(chosen.mapValues { _ in "no algorithm" })
    #expect(anew.keys == chosen.keys && !anew.values.contains("no algorithm"))
  }
}
