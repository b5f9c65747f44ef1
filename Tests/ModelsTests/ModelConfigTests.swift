import Compute
import Formats
import Models
import Testing

@Suite("A model's config")
struct ModelConfigTests {
  @Test("survives the way through config.json", arguments: ModelConfig.Architecture.allCases)
  func roundTrip(architecture: ModelConfig.Architecture) throws {
    var config = ModelConfig(
      architecture, vocabularySize: 300, hiddenSize: 48, layers: 2, heads: 4, maxPositions: 32)
    config.tiesEmbeddings.toggle()
    config.eosTokenID = 7
    if architecture != .gpt2 && !architecture.isBidirectional { config.keyValueHeads = 2 }
    if architecture.isBidirectional { config.maskTokenID = 5 }
    #expect(try ModelConfig(huggingFace: config.huggingFace, file: "config.json") == config)
  }

  @Test("reads rope_theta where old and new versions of transformers write it")
  func ropeTheta() throws {
    let json = ModelConfig(.llama, vocabularySize: 9, hiddenSize: 8, layers: 1, heads: 2, maxPositions: 4).huggingFace
    var object = try #require(json.object)
    object["rope_theta"] = nil
    object["rope_parameters"] = ["rope_theta": 5000, "rope_type": "default"]
    #expect(try ModelConfig(huggingFace: .object(object), file: "f").rotaryBase == 5000)
    object["rope_parameters"] = nil
    object["rope_theta"] = 6000
    #expect(try ModelConfig(huggingFace: .object(object), file: "f").rotaryBase == 6000)
  }

  @Test("refuses what it would compute wrongly")
  func unsupported() throws {
    let good = ModelConfig(.llama, vocabularySize: 9, hiddenSize: 8, layers: 1, heads: 2, maxPositions: 4).huggingFace
    let bad: [(String, JSON)] = [
      ("model_type", "mamba"), ("hidden_act", "quick_gelu"), ("num_attention_heads", 3), ("hidden_size", "wide"),
      ("rope_scaling", ["rope_type": "yarn"]), ("quantization_config", ["bits": 4]), ("num_hidden_layers", .null),
    ]
    for (key, value) in bad {
      var object = try #require(good.object)
      object["head_dim"] = nil
      object[key] = value
      #expect(throws: ModelError.self, "\(key)") { try ModelConfig(huggingFace: .object(object), file: "f") }
    }
  }

  @Test("names the key of an impossible setting")
  func impossible() {
    for architecture in ModelConfig.Architecture.allCases {
      let config = ModelConfig(architecture, vocabularySize: 9, hiddenSize: 10, layers: 1, heads: 3, maxPositions: 4)
      let error = #expect(throws: ModelError.self) { try config.validate() }
      #expect(error?.description.contains("model.num_attention_heads = 3") == true)
    }
  }

  @Test("gives the published parameter counts")
  func parameterCounts() throws {
    let counts = ["gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200]
    for (name, count) in counts {
      let preset = try #require(Preset.named(name))
      #expect(try Transformer(preset.config(vocabularySize: 50257)).parameterLayout.parameterCount == count)
    }
  }
}
