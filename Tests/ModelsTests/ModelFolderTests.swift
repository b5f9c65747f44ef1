import Compute
import ComputeCPU
import Formats
import Foundation
import Models
import TestSupport
import Testing

@Suite("A model's folder")
struct ModelFolderTests {
  /// Configs that together have every tensor there is.
  static var configs: [ModelConfig] {
    ModelConfig.Architecture.allCases.flatMap { architecture in
      [false, true].map { varied in
        var config = ModelConfig.tiny(architecture)
        if varied {
          config.tiesEmbeddings.toggle()
          if architecture == .gpt2 { config.positions = .sinusoidal } else { config.attentionBias = true }
          if architecture == .encoder { config.positions = .learned }
          if architecture == .bert { config.tokenTypes = 3 }
          if architecture == .llama { config.mlpBias = true }
        }
        return config
      }
    }
  }

  private let executor = ReferenceExecutor()

  /// Writes a model with random weights, and changes its tensors if asked to.
  private func write(
    _ config: ModelConfig, to path: String, change: ((inout [Tensor]) -> Void)? = nil
  ) throws -> any ParameterStore {
    let store = try Transformer(config).randomWeights(on: executor)
    let folder = try StagedFolder(path: path)
    try ModelFolder.write(config, weights: store, tokenizer: nil, into: folder)
    if let change {
      let file = folder.file(ModelFolder.weightsName)
      var tensors = try Self.tensors(of: file)
      change(&tensors)
      try FileSystem.remove(file)
      try Self.write(tensors, to: file)
    }
    try folder.commit()
    return store
  }

  private struct Tensor {
    var name: String
    var shape: [Int]
    var values: [Float]
  }

  private static func tensors(of file: String) throws -> [Tensor] {
    let source = try SafetensorsFile(path: file)
    return try source.tensors.map { Tensor(name: $0.name, shape: $0.shape, values: try source.floats($0.name)) }
  }

  private static func write(_ tensors: [Tensor], to file: String) throws {
    let writer = try SafetensorsWriter(path: file, tensors: tensors.map { .init($0.name, .float32, $0.shape) })
    for tensor in tensors { try writer.append(tensor.name, tensor.values) }
    try writer.commit()
  }

  private func load(_ path: String) throws -> any ParameterStore {
    let folder = try ModelFolder(path)
    let store = executor.makeParameters(try Transformer(folder.config).parameterLayout, training: false)
    try folder.load(into: store)
    return store
  }

  @Test("gives back the bits that were written", arguments: configs)
  func roundTrip(config: ModelConfig) throws {
    let folder = try TemporaryFolder()
    let written = try write(config, to: folder.file("model"))
    #expect(try ModelFolder(folder.file("model")).config == config)
    #expect(try load(folder.file("model")).bits() == written.bits())
  }

  @Test("maps every parameter, and each row of it once", arguments: configs)
  func complete(config: ModelConfig) throws {
    let layout = try Transformer(config).parameterLayout
    let map = WeightMap(config, layout: layout)
    for entry in layout.entries {
      let rows = map.entries.filter { $0.parameter == entry.name }.map(\.rows).sorted { $0.lowerBound < $1.lowerBound }
      #expect(rows.flatMap { Array($0) } == Array(0..<entry.shape[0]), "\(entry.name)")
    }
    #expect(Set(map.entries.map(\.name)).count == map.entries.count)
  }

  @Test("stores GPT-2's matrices (in, out), as published")
  func transposition() throws {
    let folder = try TemporaryFolder()
    let store = try write(.tiny(.gpt2), to: folder.file("model"))
    let file = try SafetensorsFile(path: folder.file("model/model.safetensors"))
    let ours = try #require(store.layout["layers.1.mlpInput.weight"])
    #expect(ours.shape == [96, 24])
    let name = "transformer.h.1.mlp.c_fc.weight"
    #expect(file.info(name)?.shape == [24, 96])
    let theirs = try file.floats(name)
    let values = try store.read(.weights, ours)
    for (row, column) in [(0, 0), (95, 0), (0, 23), (50, 7), (95, 23)] {
      #expect(theirs[column * 96 + row] == values[row * 24 + column])
    }
    #expect(transposed([1, 2, 3, 4, 5, 6], rows: 2) == [1, 4, 2, 5, 3, 6])
    let wide = normals(67 * 35, seed: 1)
    #expect(transposed(transposed(wide, rows: 67), rows: 35) == wide)
  }

  @Test("packs queries, keys and values, gate and up, in this order")
  func packing() throws {
    let folder = try TemporaryFolder()
    let config = ModelConfig.tiny(.qwen3)
    let store = try write(config, to: folder.file("model"))
    let file = try SafetensorsFile(path: folder.file("model/model.safetensors"))
    for (parameter, names) in [
      "layers.0.qkv.weight": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
      "layers.0.mlpInput.weight": ["mlp.gate_proj", "mlp.up_proj"],
    ] {
      let entry = try #require(store.layout[parameter])
      let parts = try names.map { try file.floats("model.layers.0.\($0).weight") }
      #expect(try parts.flatMap(\.self) == store.read(.weights, entry))
    }
  }

  @Test("may be cut into several files")
  func sharded() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("model")
    let written = try write(.tiny(.llama), to: path)
    let tensors = try Self.tensors(of: path + "/model.safetensors")
    try FileSystem.remove(path + "/model.safetensors")
    var map = JSONObject()
    for (index, part) in [tensors.prefix(5), tensors.dropFirst(5)].enumerated() {
      let name = "model-0000\(index + 1)-of-00002.safetensors"
      try Self.write(Array(part), to: path + "/" + name)
      for tensor in part { map[tensor.name] = .string(name) }
    }
    let index: JSON = ["weight_map": .object(map)]
    try folder.write(index.serialized(), to: "model/model.safetensors.index.json")
    #expect(try load(path).bits() == written.bits())
    try FileSystem.remove(path + "/model-00002-of-00002.safetensors")
    let error = #expect(throws: FormatError.self) { try load(path) }
    #expect(error?.description.contains("model-00002-of-00002.safetensors") == true)
  }

  @Test("may be one of the first GPT-2 folders, without a prefix and with masks among the weights")
  func firstFolders() throws {
    let folder = try TemporaryFolder()
    let written = try write(.tiny(.gpt2), to: folder.file("model")) { tensors in
      for index in tensors.indices {
        tensors[index].name = tensors[index].name.replacingOccurrences(of: "transformer.", with: "")
      }
      tensors.append(Tensor(name: "h.0.attn.bias", shape: [1, 1, 2, 2], values: [1, 0, 1, 1]))
      tensors.append(Tensor(name: "lm_head.weight", shape: [1], values: [0]))
    }
    #expect(try load(folder.file("model")).bits() == written.bits())
  }

  @Test("says which tensor is missing, too many, or of another shape", arguments: ModelConfig.Architecture.allCases)
  func badTensors(architecture: ModelConfig.Architecture) throws {
    let folder = try TemporaryFolder()
    var number = 0
    func expect(_ fragments: [String], _ change: @escaping (inout [Tensor]) -> Void) throws {
      number += 1
      let path = folder.file("model\(number)")
      _ = try write(.tiny(architecture), to: path, change: change)
      let error = #expect(throws: ModelError.self) { try load(path) }
      for fragment in fragments + [path] { #expect(error?.description.contains(fragment) == true, "\(fragment)") }
    }
    let middle =
      switch architecture {
      case .gpt2: "transformer.h.1.attn.c_proj.weight"
      case .llama, .qwen3, .nanochat, .mayfly: "model.layers.1.self_attn.o_proj.weight"
      case .encoder: "encoder.layers.1.self_attn.out_proj.weight"
      case .bert: "bert.encoder.layer.1.attention.output.dense.weight"
      }
    try expect([middle, "none"]) { $0.removeAll { $0.name == middle } }
    try expect(["extra.weight", "a tensor more"]) { $0.append(Tensor(name: "extra.weight", shape: [1], values: [0])) }
    try expect([middle, "expected", "found"]) { tensors in
      for index in tensors.indices where tensors[index].name == middle {
        let shape = tensors[index].shape
        tensors[index].shape = [shape[0] * shape[1]]
      }
    }
  }

  @Test("that has a manifest is checked to the last bit")
  func manifest() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("model")
    _ = try write(.tiny(.qwen3), to: path)
    try Manifest.write(for: path)
    _ = try load(path)
    for name in ["model.safetensors", "config.json"] {
      let good = try folder.bytes(of: "model/" + name)
      var bad = good
      bad[bad.count / 2] ^= 4
      try folder.write(bad, to: "model/" + name)
      let error = #expect(throws: FormatError.self) { try ModelFolder(path) }
      #expect(error?.description.contains("\(name) is damaged") == true)
      try folder.write(Array(good.dropLast(3)), to: "model/" + name)
      #expect(throws: FormatError.self) { try ModelFolder(path) }
      try folder.write(good, to: "model/" + name)
    }
    _ = try ModelFolder(path)
  }

  @Test("cut at any place is an error that names the file", arguments: [0, 7, 8, 100, 2000, 5000])
  func truncated(length: Int) throws {
    let folder = try TemporaryFolder()
    _ = try write(.tiny(.llama), to: folder.file("model"))
    let bytes = try folder.bytes(of: "model/model.safetensors")
    try #require(length < bytes.count)
    try folder.write(Array(bytes.prefix(length)), to: "model/model.safetensors")
    let error = #expect(throws: FormatError.self) { try load(folder.file("model")) }
    #expect(error?.description.contains("model.safetensors") == true)
  }

  @Test("is found by what a user names: a run is its latest checkpoint")
  func run() throws {
    let folder = try TemporaryFolder()
    _ = try write(.tiny(.gpt2), to: folder.file("run/checkpoints/step-00000002"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("run/checkpoints/latest"), withDestinationPath: "step-00000002")
    #expect(try ModelFolder(folder.file("run")).config == .tiny(.gpt2))
    try folder.write("text", to: "file")
    let wrong = ["nowhere", "file", "run/checkpoints", "model.gguf"]
    for name in wrong {
      let error = thrownError { _ = try ModelFolder(folder.file(name)) }
      #expect((error as? any ContractError)?.description.contains(name) == true, "\(name)")
    }
  }

  @Test("with a hostile config is an error, never a trap")
  func hostileConfigs() throws {
    let folder = try TemporaryFolder()
    _ = try write(.tiny(.qwen3), to: folder.file("model"))
    let good = try FileSystem.readJSON(folder.file("model/config.json"))
    let numbers = [
      "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
      "intermediate_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "initializer_range",
    ]
    for key in numbers {
      let values: [JSON] = [
        .integer(.max), .integer(.min), 0, -1, .number(1e300), .number(0.5), .string("8"), .array([]), .bool(true),
      ]
      for value in values {
        var object = try #require(good.object)
        object["rope_parameters"] = nil
        object[key] = value
        try folder.write(JSON.object(object).serialized(), to: "model/config.json")
        let error = thrownError { _ = try ModelFolder(folder.file("model")) }
        // Some are possible: a rope_theta of 1e300, an initializer_range of 0.5.
        if let error { #expect(error is ModelError, "\(key) = \(value): \(error)") }
        if error == nil { #expect(value.double.map { $0 > 0 } == true, "\(key) = \(value)") }
      }
    }
    for text in ["", "[]", "{}", "null", "{\"model_type\": 1}", "{\"model_type\": \"qwen3\"}", "{", "\u{0}"] {
      try folder.write(text, to: "model/config.json")
      #expect(thrownError { _ = try ModelFolder(folder.file("model")) } is any ContractError, "\(text)")
    }
  }
}
