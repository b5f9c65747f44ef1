import Compute
import ComputeCPU
import Formats
import Foundation
import Models
import TestSupport
import Testing
import Tokenization
import Training

@Suite("A checkpoint")
struct CheckpointTests {
  private static let buffers: [ParameterBuffer] = [.weights, .firstMoment, .secondMoment]

  private static var state: TrainerState {
    var state = TrainerState()
    (state.step, state.rows, state.tokens, state.microSteps) = (12, 48, 768, 24)
    (state.warmupEnd, state.elapsed, state.bestLoss) = (1.0 / 3, 12.345678901234567, 0.1 + 0.2)
    (state.lossScale, state.skippedUpdates) = (LossScale(value: 0x1.8p9, finiteUpdates: 77), 5)
    return state
  }

  private func written(
    _ config: ModelConfig, to path: String, tokenizer: Tokenizer? = nil
  ) throws -> any ParameterStore {
    let executor = try CPUExecutor(threads: 1)
    let store = try Transformer(config).randomWeights(on: executor, training: true)
    for (index, entry) in store.layout.entries.enumerated() where entry.isTrainable {
      try store.write(.firstMoment, entry, normals(entry.shape.count, seed: 8, stream: UInt32(index)))
      try store.write(
        .secondMoment, entry, normals(entry.shape.count, seed: 9, stream: UInt32(index)).map { $0 * $0 })
    }
    try Checkpoint.write(to: path, config: config, tokenizer: tokenizer, store: store, state: Self.state)
    return store
  }

  private func read(_ path: String) throws -> (state: TrainerState, store: any ParameterStore) {
    let folder = try ModelFolder(path)
    let store = try CPUExecutor(threads: 1).makeParameters(
      try Transformer(folder.config).parameterLayout, training: true)
    return (try Checkpoint.read(folder, into: store), store)
  }

  @Test(
    "gives back weights, moments and state to the bit", arguments: ModelConfig.Architecture.allCases, [false, true])
  func roundTrip(architecture: ModelConfig.Architecture, varied: Bool) throws {
    let folder = try TemporaryFolder()
    var config = ModelConfig.tiny(architecture)
    if varied {
      config.tiesEmbeddings.toggle()
      if architecture == .gpt2 { config.positions = .sinusoidal }
    }
    let store = try written(config, to: folder.file("step"))
    let found = try read(folder.file("step"))
    #expect(found.state == Self.state)
    for buffer in Self.buffers { #expect(try found.store.bits(buffer) == store.bits(buffer)) }
  }

  @Test("holds what Hugging Face's tools ask for, and a manifest of it all")
  func files() throws {
    let folder = try TemporaryFolder()
    let tokenizer = try BPELearner(vocabularySize: 257).learn(from: WordCounts(pattern: .gpt2))
    _ = try written(.tiny(.gpt2, vocabularySize: 257), to: folder.file("step"), tokenizer: tokenizer)
    let names = try FileSystem.names(in: folder.file("step")).sorted()
    #expect(
      names == [
        "config.json", "generation_config.json", "manifest.json", "model.safetensors", "optimizer.safetensors",
        "tokenizer.json", "tokenizer_config.json", "trainer.json",
      ])
    #expect(try Set(Manifest(of: folder.file("step")).entries.keys) == Set(names.filter { $0 != "manifest.json" }))
    #expect(try folder.names() == ["step"], "nothing is left beside it")
    #expect(try ModelFolder(folder.file("step")).tokenizer()?.vocabularySize == 257)
  }

  @Test("replaces one that stands in its place")
  func replaces() throws {
    let folder = try TemporaryFolder()
    _ = try written(.tiny(.gpt2), to: folder.file("step"))
    let store = try written(.tiny(.llama), to: folder.file("step"))
    #expect(try read(folder.file("step")).store.bits() == store.bits())
    #expect(try folder.names() == ["step"])
  }

  @Test(
    "with a damaged file is an error that names the file",
    arguments: ["config.json", "model.safetensors", "optimizer.safetensors", "trainer.json"])
  func damaged(name: String) throws {
    let folder = try TemporaryFolder()
    _ = try written(.tiny(.qwen3), to: folder.file("step"))
    let good = try folder.bytes(of: "step/" + name)
    var flipped = good
    flipped[good.count * 2 / 3] ^= 1
    for bad in [flipped, Array(good.dropLast()), []] {
      try folder.write(bad, to: "step/" + name)
      let error = thrown { _ = try read(folder.file("step")) }
      #expect(error?.description.contains(name) == true)
      #expect(error?.exitCode == 65)
    }
    try FileSystem.remove(folder.file("step/" + name))
    #expect(thrown { _ = try read(folder.file("step")) }?.description.contains(name) == true)
  }

  @Test("with an impossible state is an error, even with a manifest that agrees")
  func impossibleState() throws {
    let folder = try TemporaryFolder()
    _ = try written(.tiny(.gpt2), to: folder.file("step"))
    let good = try #require(try FileSystem.readJSON(folder.file("step/trainer.json")).object)
    for key in ["step", "rows", "tokens", "micro_steps", "elapsed_seconds"] {
      for value in [.null, -1, "1", .integer(.max), .array([])] as [JSON] {
        var object = good
        object[key] = value
        try folder.write(JSON.object(object).serialized(), to: "step/trainer.json")
        try Manifest.write(for: folder.file("step"))
        let error = thrown { _ = try read(folder.file("step")) }
        #expect(error?.description.contains("trainer.json") == true, "\(key) = \(value)")
      }
    }
  }

  @Test("of another model's optimizer is an error that names the tensor")
  func otherOptimizer() throws {
    let folder = try TemporaryFolder()
    var larger = ModelConfig.tiny(.gpt2)
    larger.vocabularySize += 1
    _ = try written(.tiny(.gpt2), to: folder.file("step"))
    _ = try written(larger, to: folder.file("other"))
    try folder.write(try folder.bytes(of: "other/optimizer.safetensors"), to: "step/optimizer.safetensors")
    try Manifest.write(for: folder.file("step"))
    let error = thrown { _ = try read(folder.file("step")) }
    #expect(error?.description.contains("exp_avg.embedding") == true)
  }
}

@Suite("A run's folder")
struct RunFolderTests {
  private func run(_ folder: TemporaryFolder, checkpoints: [Int]) throws -> RunFolder {
    let run = RunFolder(folder.file("run"))
    try run.create()
    let config = ModelConfig.tiny(.gpt2)
    let store = try CPUExecutor(threads: 1).makeParameters(try Transformer(config).parameterLayout, training: true)
    for step in checkpoints {
      var state = TrainerState()
      state.step = step
      try Checkpoint.write(
        to: run.checkpointPath(step: step), config: config, tokenizer: nil, store: store, state: state)
    }
    return run
  }

  @Test("names checkpoints by step, and knows them in the order of the steps")
  func names() throws {
    let folder = try TemporaryFolder()
    let run = try run(folder, checkpoints: [20, 3, 100])
    #expect(run.checkpointPath(step: 1000).hasSuffix("/checkpoints/step-00001000"))
    #expect(run.checkpointPath(step: 123_456_789).hasSuffix("/step-123456789"))
    try folder.write("", to: "run/checkpoints/step-x")
    try folder.write("", to: "run/checkpoints/other")
    #expect(run.checkpointSteps == [3, 20, 100])
  }

  @Test("has links that are relative and move in one step")
  func links() throws {
    let folder = try TemporaryFolder()
    let run = try run(folder, checkpoints: [1, 2])
    #expect(run.linkedStep("latest") == nil)
    for step in [1, 2, 2] {
      try run.link("latest", to: step)
      #expect(run.linkedStep("latest") == step)
    }
    let target = try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("run/checkpoints/latest"))
    #expect(target == "step-00000002")
    #expect(try ModelFolder(folder.file("run")).path.hasSuffix("latest"))
  }

  @Test("is pruned, but of the newest, the latest and the best")
  func prune() throws {
    let folder = try TemporaryFolder()
    let run = try run(folder, checkpoints: [1, 2, 3, 4, 5, 6])
    try run.link("best", to: 2)
    try run.link("latest", to: 4)
    try run.prune(keeping: 2)
    #expect(run.checkpointSteps == [2, 4, 5, 6])
    try run.prune(keeping: 1)
    #expect(run.checkpointSteps == [2, 4, 6])
  }

  @Test("gives the newest checkpoint that is whole, and says what is wrong with newer ones")
  func newest() throws {
    let folder = try TemporaryFolder()
    let run = try run(folder, checkpoints: [1, 2, 3, 4])
    var broken: [String] = []
    func newest() -> String? {
      broken = []
      return run.newestCheckpoint { broken.append("\($0)") }.map { Path.name($0.path) }
    }
    #expect(newest() == "step-00000004")
    #expect(broken.isEmpty)
    var bytes = try folder.bytes(of: "run/checkpoints/step-00000004/optimizer.safetensors")
    bytes[bytes.count - 1] ^= 1
    try folder.write(bytes, to: "run/checkpoints/step-00000004/optimizer.safetensors")
    try FileSystem.remove(folder.file("run/checkpoints/step-00000003/manifest.json"))
    #expect(newest() == "step-00000002")
    #expect(broken.count == 2)
    #expect(broken.first?.contains("optimizer.safetensors") == true)
    #expect(broken.last?.contains("manifest.json") == true)
    try FileSystem.remove(folder.file("run/checkpoints/step-00000002"))
    try FileSystem.remove(folder.file("run/checkpoints/step-00000001/config.json"))
    #expect(newest() == nil)
  }

  @Test("is cleaned of what a killed process left of a checkpoint")
  func leftovers() throws {
    let folder = try TemporaryFolder()
    let run = try run(folder, checkpoints: [1])
    try folder.write("half", to: "run/checkpoints/.step-00000002.tmp-123-abc/model.safetensors")
    try run.create()
    #expect(try FileManager.default.contentsOfDirectory(atPath: run.checkpointsPath) == ["step-00000001"])
  }
}

@Suite("metrics.jsonl")
struct MetricsLogTests {
  private static func line(_ step: Int, elapsed: Double) -> JSON {
    ["kind": "train", "step": .integer(Int64(step)), "loss": .number(0.1 + 0.2), "elapsed_seconds": .number(elapsed)]
  }

  @Test("keeps its numbers to the last digit")
  func numbers() throws {
    let folder = try TemporaryFolder()
    let log = try MetricsLog(path: folder.file("m"), keepingUntil: 0)
    var values: [Double] = [0.1 + 0.2, 1e-300, 1 / 3, 123_456_789.123_456_79, .leastNonzeroMagnitude]
    values += normals(100, seed: 1).map(Double.init)
    for value in values { try log.append(["loss": .number(value)]) }
    try log.synchronize()
    #expect(try lines(of: folder.file("m")).compactMap { $0["loss"]?.double } == values)
  }

  @Test("is cut back to a step, and a line that is half is cut as well")
  func cutBack() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("m")
    let log = try MetricsLog(path: path, keepingUntil: 0)
    for step in 1...6 { try log.append(Self.line(step, elapsed: Double(step) * 1.5)) }
    try log.synchronize()
    #expect(MetricsLog.elapsed(path: path) == 9)
    try folder.write(try folder.bytes(of: "m") + Array("{\"kind\":\"train\",\"step\":2,\"elap".utf8), to: "m")
    #expect(MetricsLog.elapsed(path: path) == 9)

    let resumed = try MetricsLog(path: path, keepingUntil: 4)
    try resumed.append(Self.line(5, elapsed: 10))
    try resumed.synchronize()
    #expect(try lines(of: path).map { $0["step"]?.int } == [1, 2, 3, 4, 5])
    #expect(MetricsLog.elapsed(path: path) == 10)

    try MetricsLog(path: path, keepingUntil: 0).synchronize()
    #expect(try lines(of: path).isEmpty)
    #expect(MetricsLog.elapsed(path: path) == nil)
    #expect(MetricsLog.elapsed(path: folder.file("nowhere")) == nil)
  }

  @Test("survives bytes that are no text")
  func binary() throws {
    let folder = try TemporaryFolder()
    try folder.write([0xFF, 0x0A, 0x00, 0x0A] + Array("{\"step\":1,\"elapsed_seconds\":2}\n".utf8) + [0xC3], to: "m")
    try MetricsLog(path: folder.file("m"), keepingUntil: 1).synchronize()
    #expect(try lines(of: folder.file("m")).count == 1)
  }

  @Test("says where it can't be written")
  func unwritable() {
    let error = #expect(throws: FormatError.self) { try MetricsLog(path: "/nowhere/at/all/m", keepingUntil: 0) }
    #expect(error?.exitCode == 73)
  }
}
