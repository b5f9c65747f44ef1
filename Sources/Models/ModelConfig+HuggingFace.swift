package import Compute
package import Formats

/// `config.json` as transformers writes and reads it.
extension ModelConfig {
  /// Names of activations in Hugging Face's configs.
  private static let activations: [(name: String, kind: ActivationKind)] = [
    ("relu", .relu), ("relu2", .reluSquared), ("silu", .silu), ("swish", .silu), ("gelu", .gelu),
    ("gelu_new", .geluTanh), ("gelu_pytorch_tanh", .geluTanh),
  ]

  package static var activationNames: [String] { activations.map(\.name) }

  package static func activationKind(named name: String) -> ActivationKind? {
    activations.first { $0.name == name }?.kind
  }

  /// Hugging Face's name of this model's activation.
  package var activationName: String { Self.activations.first { $0.kind == activation }?.name ?? "" }

  /// Reads a `config.json`.
  ///
  /// - Throws: ``ModelError`` naming the key; also for whatever would change the result and isn't computed here.
  package init(huggingFace json: JSON, file: String) throws(ModelError) {
    let keys = ConfigReader(json: json, file: file)
    let type: String = try keys.required("model_type")
    guard let architecture = Architecture(rawValue: type) else {
      throw .unsupported(
        what: "\(file): model_type '\(type)'",
        supported: Architecture.allCases.map(\.rawValue).joined(separator: ", "))
    }
    try keys.rejectUnsupported(architecture)
    if architecture == .gpt2 {
      self.init(
        .gpt2, vocabularySize: try keys.required("vocab_size"), hiddenSize: try keys.required("n_embd"),
        layers: try keys.required("n_layer"), heads: try keys.required("n_head"),
        maxPositions: try keys.required("n_positions"))
      intermediateSize = try keys.optional("n_inner") ?? intermediateSize
      normEpsilon = try keys.optional("layer_norm_epsilon") ?? normEpsilon
      activation = try keys.activation("activation_function") ?? activation
      if let kind: String = try keys.optional("position_embedding_type"), kind == PositionKind.sinusoidal.rawValue {
        positions = .sinusoidal
      }
      tiesEmbeddings = try keys.optional("tie_word_embeddings") ?? true
    } else if architecture.isBidirectional {
      self.init(
        architecture, vocabularySize: try keys.required("vocab_size"), hiddenSize: try keys.required("hidden_size"),
        layers: try keys.required("num_hidden_layers"), heads: try keys.required("num_attention_heads"),
        maxPositions: try keys.required("max_position_embeddings"))
      intermediateSize = try keys.required("intermediate_size")
      normEpsilon = try keys.optional("layer_norm_eps") ?? normEpsilon
      activation = try keys.activation("hidden_act") ?? activation
      tokenTypes = architecture == .bert ? try keys.optional("type_vocab_size") ?? tokenTypes : 0
      if architecture == .encoder, let name: String = try keys.optional("position_embedding_type") {
        guard let kind = PositionKind(rawValue: name) else {
          throw .unsupported(
            what: "\(file): position_embedding_type '\(name)'",
            supported: PositionKind.allCases.map(\.rawValue).joined(separator: ", "))
        }
        positions = kind
      }
      tiesEmbeddings = try keys.optional("tie_word_embeddings") ?? true
      maskTokenID = try keys.optional("mask_token_id")
    } else {
      self.init(
        architecture, vocabularySize: try keys.required("vocab_size"), hiddenSize: try keys.required("hidden_size"),
        layers: try keys.required("num_hidden_layers"), heads: try keys.required("num_attention_heads"),
        maxPositions: try keys.required("max_position_embeddings"))
      keyValueHeads = try keys.optional("num_key_value_heads") ?? heads
      headSize = try keys.optional("head_dim") ?? headSize
      intermediateSize = try keys.required("intermediate_size")
      normEpsilon = try keys.optional("rms_norm_eps") ?? normEpsilon
      activation = try keys.activation("hidden_act") ?? activation
      // transformers before version 5 wrote rope_theta at the top level.
      let parameters = JSON.object(json["rope_parameters"]?.object ?? json["rope_scaling"]?.object ?? JSONObject())
      rotaryBase = try keys.optional("rope_theta") ?? rotaryBase
      rotaryBase = try ConfigReader(json: parameters, file: file).optional("rope_theta") ?? rotaryBase
      attentionBias = try keys.optional("attention_bias") ?? false
      mlpBias = architecture == .llama ? try keys.optional("mlp_bias") ?? false : false
      tiesEmbeddings = try keys.optional("tie_word_embeddings") ?? false
      if architecture.followsNanochat {
        softcap =
          json["final_logit_softcapping"]?.isNull == true ? nil : try keys.optional("final_logit_softcapping") ?? 15
      }
    }
    initializerRange = try keys.optional("initializer_range") ?? initializerRange
    bosTokenID = try keys.optional("bos_token_id")
    eosTokenID = try keys.firstInteger("eos_token_id")
    if json["architectures"]?.array?.first?.string?.hasSuffix("ForSequenceClassification") == true {
      labels = try keys.labels()
      let name: String? = try keys.optional("pooling")
      guard let kind = name.map(Pooling.init(rawValue:)) ?? .last else {
        throw .unsupported(
          what: "\(file): pooling '\(name ?? "")'", supported: Pooling.allCases.map(\.rawValue).joined(separator: ", "))
      }
      pooling = kind
    }
    try validate()
  }

  /// The `config.json` with which transformers builds the same model.
  package var huggingFace: JSON {
    var object = JSONObject()
    func set(_ key: String, _ value: JSON) { object[key] = value }
    func set(_ key: String, _ value: Int) { object[key] = .integer(Int64(value)) }
    // The shortest decimals that give the same fp32: 1e-05, not its 17 digits.
    func set(_ key: String, _ value: Float) { object[key] = .number(Double("\(value)") ?? Double(value)) }

    set("model_type", .string(architecture.rawValue))
    set("architectures", .array([.string(isClassifier ? architecture.classifierName : architecture.className)]))
    set("dtype", .string("float32"))
    set("vocab_size", vocabularySize)
    if architecture == .gpt2 {
      set("n_embd", hiddenSize)
      set("n_layer", layers)
      set("n_head", heads)
      set("n_inner", intermediateSize)
      set("n_positions", maxPositions)
      set("n_ctx", maxPositions)
      set("activation_function", .string(activationName))
      set("layer_norm_epsilon", normEpsilon)
      if positions == .sinusoidal { set("position_embedding_type", .string(positions.rawValue)) }
      for key in ["resid_pdrop", "embd_pdrop", "attn_pdrop"] { set(key, Float(0)) }
    } else if isBidirectional {
      set("hidden_size", hiddenSize)
      set("num_hidden_layers", layers)
      set("num_attention_heads", heads)
      set("intermediate_size", intermediateSize)
      set("max_position_embeddings", maxPositions)
      set("hidden_act", .string(activationName))
      set("layer_norm_eps", normEpsilon)
      if architecture == .bert {
        set("type_vocab_size", tokenTypes)
        for key in ["hidden_dropout_prob", "attention_probs_dropout_prob"] { set(key, Float(0)) }
      } else {
        set("position_embedding_type", .string(positions.rawValue))
      }
      set("mask_token_id", maskTokenID.map { .integer(Int64($0)) } ?? .null)
    } else {
      set("hidden_size", hiddenSize)
      set("num_hidden_layers", layers)
      set("num_attention_heads", heads)
      set("num_key_value_heads", keyValueHeads)
      set("head_dim", headSize)
      set("intermediate_size", intermediateSize)
      set("max_position_embeddings", maxPositions)
      set("hidden_act", .string(activationName))
      set("rms_norm_eps", normEpsilon)
      // Both places, so that older and newer versions of transformers agree.
      set("rope_theta", .number(rotaryBase))
      set("rope_parameters", ["rope_theta": .number(rotaryBase), "rope_type": "default"])
      set("attention_bias", .bool(attentionBias))
      if architecture == .llama { set("mlp_bias", .bool(mlpBias)) }
      if architecture.followsNanochat {
        set("final_logit_softcapping", softcap.map { .number(Double($0)) } ?? .null)
      }
    }
    if convolutionTaps > 0 {
      set("conv_taps", convolutionTaps)
      set("use_cache", .bool(false))
      var classes = JSONObject()
      for (name, ours) in TransformersModule.classes { classes[name] = .string(ours) }
      set("auto_map", .object(classes))
    }
    if isClassifier {
      var (names, ids) = (JSONObject(), JSONObject())
      for (id, label) in labels.enumerated() {
        names["\(id)"] = .string(label)
        ids[label] = .integer(Int64(id))
      }
      set("id2label", .object(names))
      set("label2id", .object(ids))
      set("problem_type", .string("single_label_classification"))
      set("pooling", .string(pooling.rawValue))
    }
    set("tie_word_embeddings", .bool(tiesEmbeddings))
    set("initializer_range", initializerRange)
    set("bos_token_id", bosTokenID.map { .integer(Int64($0)) } ?? .null)
    set("eos_token_id", eosTokenID.map { .integer(Int64($0)) } ?? .null)
    set("pad_token_id", eosTokenID.map { .integer(Int64($0)) } ?? .null)
    return .object(object)
  }
}

extension ModelConfig.Architecture {
  /// The class in transformers.
  fileprivate var className: String {
    switch self {
    case .gpt2: "GPT2LMHeadModel"
    case .llama: "LlamaForCausalLM"
    case .qwen3: "Qwen3ForCausalLM"
    case .nanochat: "NanoChatForCausalLM"
    case .mayfly: "MayflyForCausalLM"
    case .encoder: "TransformerEncoder"
    case .bert: "BertForMaskedLM"
    }
  }
}

extension ModelConfig.Architecture {
  /// The class in transformers that has labels instead of tokens: GPT2ForSequenceClassification.
  fileprivate var classifierName: String {
    ["LMHeadModel", "ForCausalLM", "ForMaskedLM"].reduce(className) { $0.replacing($1, with: "") }
      + "ForSequenceClassification"
  }
}

/// Typed access to the keys of a config.
private struct ConfigReader {
  let json: JSON
  let file: String

  func optional<T: ConfigValue>(_ key: String) throws(ModelError) -> T? {
    guard let value = json[key], !value.isNull else { return nil }
    guard let result = T(value) else {
      throw .wrongType(key: "\(file): \(key)", found: value.kind, expected: T.expected)
    }
    return result
  }

  func required<T: ConfigValue>(_ key: String) throws(ModelError) -> T {
    guard let value: T = try optional(key) else { throw .missing(key: key, file: file) }
    return value
  }

  /// An integer, or the first of a list of them (newer configs list several ends).
  func firstInteger(_ key: String) throws(ModelError) -> Int? {
    if let list = json[key]?.array { return list.first?.int }
    return try optional(key)
  }

  /// The names in `id2label`, in the order of their ids.
  func labels() throws(ModelError) -> [String] {
    guard let names = json["id2label"]?.object else { throw .missing(key: "id2label", file: file) }
    let labels = names.keys.indices.compactMap { names["\($0)"]?.string }
    guard labels.count == names.keys.count, !labels.isEmpty, Set(labels).count == labels.count else {
      throw .wrongType(
        key: "\(file): id2label", found: JSON.object(names).serialized(),
        expected: "different names under \"0\", \"1\", …")
    }
    return labels
  }

  func activation(_ key: String) throws(ModelError) -> ActivationKind? {
    guard let name: String = try optional(key) else { return nil }
    guard let kind = ModelConfig.activationKind(named: name) else {
      throw .unsupported(
        what: "\(file): \(key) '\(name)'", supported: ModelConfig.activationNames.joined(separator: ", "))
    }
    return kind
  }

  /// Refuses what would change the model's results and isn't computed here.
  func rejectUnsupported(_ architecture: ModelConfig.Architecture) throws(ModelError) {
    func reject(_ key: String, _ value: JSON?, unless usual: JSON, _ supported: String) throws(ModelError) {
      guard let value, !value.isNull, value != usual else { return }
      throw .unsupported(what: "\(file): \(key) = \(value.serialized())", supported: supported)
    }
    try reject("quantization_config", json["quantization_config"], unless: .null, "weights in F32, F16 or BF16")
    if architecture == .gpt2 {
      try reject("scale_attn_weights", json["scale_attn_weights"], unless: .bool(true), "true")
      try reject(
        "scale_attn_by_inverse_layer_idx", json["scale_attn_by_inverse_layer_idx"], unless: .bool(false), "false")
      try reject("add_cross_attention", json["add_cross_attention"], unless: .bool(false), "false")
    } else if architecture.isBidirectional {
      for key in ["is_decoder", "add_cross_attention"] { try reject(key, json[key], unless: .bool(false), "false") }
      if architecture == .bert {
        try reject("position_embedding_type", json["position_embedding_type"], unless: .string("absolute"), "absolute")
      }
    } else {
      if architecture == .mayfly { try reject("conv_taps", json["conv_taps"], unless: .integer(1), "1") }
      try reject("use_sliding_window", json["use_sliding_window"], unless: .bool(false), "false")
      for layer in json["layer_types"]?.array ?? [] {
        try reject("layer_types", layer, unless: .string("full_attention"), "full_attention")
      }
      for key in ["rope_parameters", "rope_scaling"] {
        let type = json[key]?["rope_type"] ?? json[key]?["type"]
        try reject("\(key).rope_type", type, unless: .string("default"), "default")
      }
    }
  }
}

private protocol ConfigValue {
  static var expected: String { get }
  init?(_ json: JSON)
}

extension Int: ConfigValue {
  static var expected: String { "an integer" }
  init?(_ json: JSON) {
    guard let value = json.int else { return nil }
    self = value
  }
}

extension Double: ConfigValue {
  static var expected: String { "a number" }
  init?(_ json: JSON) {
    guard let value = json.double else { return nil }
    self = value
  }
}

extension Float: ConfigValue {
  static var expected: String { "a number" }
  init?(_ json: JSON) {
    guard let value = json.double else { return nil }
    self = Float(value)
  }
}

extension Bool: ConfigValue {
  static var expected: String { "true or false" }
  init?(_ json: JSON) {
    guard let value = json.bool else { return nil }
    self = value
  }
}

extension String: ConfigValue {
  static var expected: String { "a string" }
  init?(_ json: JSON) {
    guard let value = json.string else { return nil }
    self = value
  }
}
