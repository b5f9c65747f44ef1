import Compute
import Formats
import Models
import Testing
import Training

@Suite("Settings")
struct SettingsTests {
  private static func overrides(_ assignments: [String]) throws -> SettingOverrides {
    var overrides = SettingOverrides()
    for assignment in assignments { try overrides.add(assignment: assignment) }
    return overrides
  }

  private static func resolve(
    _ assignments: [String], preset: String = "mini", initial: ModelConfig? = nil, tokens: Int? = 300
  ) throws -> Settings {
    try Settings.resolve(
      preset: try #require(Preset.named(preset)), overrides: overrides(assignments), initial: initial, tokens: tokens)
  }

  /// A value for every key that isn't its default.
  private static let values = [
    "model.architecture": "qwen3", "model.vocab_size": "777", "model.hidden_size": "96", "model.num_hidden_layers": "3",
    "model.num_attention_heads": "6", "model.num_key_value_heads": "3", "model.head_dim": "20",
    "model.intermediate_size": "100", "model.max_position_embeddings": "77", "model.hidden_act": "gelu",
    "model.position_embedding_type": "sinusoidal", "model.type_vocab_size": "2", "model.rope_theta": "12345.5",
    "model.norm_eps": "1e-07",
    "model.tie_word_embeddings": "true", "model.attention_bias": "true", "model.mlp_bias": "true",
    "model.final_logit_softcapping": "30.5", "model.initializer_range": "0.03", "model.dropout": "0.15",
    "data.order": "sequential", "data.packing": "best-fit", "data.weights": "[0.5, 2.0]",
    "data.document_mask": "true", "data.bpe_dropout": "0.1", "data.prefetch": "9",
    "data.cache": "12345", "train.batch_size": "24", "train.first_batch_size": "12", "train.micro_batch_size": "6",
    "train.context": "55", "train.first_context": "11",
    "train.optimizer": "muon", "train.learning_rate": "0.00123", "train.embedding_learning_rate": "0.01",
    "train.matrix_learning_rate": "0.03", "train.momentum": "0.9", "train.momentum_warmup": "50",
    "train.decay_share": "0.25",
    "train.betas": "[0.8, 0.999]", "train.eps": "1e-06",
    "train.weight_decay": "0.2", "train.grad_clip": "0.5", "train.warmup_steps": "7", "train.schedule": "constant",
    "train.min_lr_ratio": "0.05", "train.label_smoothing": "0.1", "train.z_loss": "0.0001", "train.eval_every": "11",
    "train.checkpoint_every": "13", "train.keep_checkpoints": "5",
    "train.patience": "4", "train.max_rollbacks": "7", "train.class_weights": "balanced", "model.pooling": "last",
    "train.precision": "bf16",
    "train.moments": "fp32",
    "train.seed": "18446744073709551615", "train.steps": "1234", "train.budget": "600.5",
  ]

  @Test("go through run.yaml and come back, each of them")
  func roundTrip() throws {
    #expect(Set(SettingKey.all.map(\.name)) == Set(Self.values.keys))
    let start = try Self.resolve([])
    for key in SettingKey.all {
      var settings = start
      let value = try #require(Self.values[key.name])
      try key.write(&settings, value)
      #expect(key.read(settings) == value)
      var overrides = SettingOverrides()
      try overrides.add(yaml: settings.yaml, file: "run.yaml")
      var found = start
      try overrides.apply(to: &found)
      #expect(found == settings, "\(key.name)")
    }
    for key in SettingKey.all { #expect(key.read(start) != Self.values[key.name], "\(key.name)") }
  }

  @Test("of a resolved run resolve to the same again", arguments: Preset.all.map(\.name))
  func stable(preset: String) throws {
    let settings = try Self.resolve(["train.steps=10", "model.dropout=0.1"], preset: preset)
    var overrides = SettingOverrides()
    try overrides.add(yaml: settings.yaml, file: "run.yaml")
    let other = try #require(Preset.named(preset == "mini" ? "gpt2" : "mini"))
    let found = try Settings.resolve(preset: other, overrides: overrides, initial: nil, tokens: 300)
    #expect(found == settings)
  }

  @Test("come from the preset, then the config file, then the command line; the last one wins")
  func precedence() throws {
    #expect(try Self.resolve([], preset: "gpt2").model.layers == 12)
    var overrides = SettingOverrides()
    try overrides.add(yaml: "model:\n  num_hidden_layers: 3\ntrain:\n  seed: 5\n", file: "f")
    try overrides.add(assignment: "model.num_hidden_layers=4")
    try overrides.add(assignment: "train.eval_every=1")
    try overrides.add(assignment: "train.eval_every=2")
    let preset = try #require(Preset.named("gpt2"))
    let settings = try Settings.resolve(preset: preset, overrides: overrides, initial: nil, tokens: 300)
    #expect(settings.model.layers == 4)
    #expect(settings.train.seed == 5)
    #expect(settings.train.evalEvery == 2)
    #expect(settings.train.learningRate == preset.learningRate)
  }

  @Test("derive what follows from the sizes asked for")
  func derived() throws {
    let settings = try Self.resolve(["model.hidden_size=96", "model.num_attention_heads=6", "train.context=40"])
    #expect(settings.model.headSize == 16)
    #expect(settings.model.keyValueHeads == 6)
    #expect(settings.model.intermediateSize == 384)
    #expect(settings.model.maxPositions == 40)
    #expect(settings.train.context == 40)
    #expect(settings.model.vocabularySize == 300)
    let llama = try Self.resolve(["model.architecture=llama", "model.hidden_size=96", "model.head_dim=10"])
    #expect(llama.model.intermediateSize == 256)
    #expect(llama.model.headSize == 10)
    #expect(llama.model.softcap == nil)
    let positions = try Self.resolve(["model.max_position_embeddings=64"])
    #expect(positions.train.context == 64)
  }

  @Test("have rates for the tokens of an update where Muon trains, unless asked for")
  func ratesFollowTheBatch() throws {
    let usual = try Self.resolve(["train.batch_size=8"], preset: "decoder-128").train
    for (batch, factor) in [(4, 1), (16, Float(2).squareRoot()), (32, 2), (1024, 2)] {
      let train = try Self.resolve(["train.batch_size=\(batch)"], preset: "decoder-128").train
      #expect(train.learningRate == usual.learningRate * factor)
      #expect(train.matrixLearningRate == usual.matrixLearningRate * factor)
      #expect(train.embeddingLearningRate == usual.embeddingLearningRate.map { $0 * factor })
    }
    let longer = try Self.resolve(["train.batch_size=8", "train.context=256"], preset: "decoder-128").train
    #expect(longer.matrixLearningRate == usual.matrixLearningRate * Float(2).squareRoot())
    let asked = ["train.batch_size=32", "train.matrix_learning_rate=0.5", "train.learning_rate=0.25"]
    let own = try Self.resolve(asked, preset: "decoder-128").train
    #expect(own.matrixLearningRate == 0.5 && own.learningRate == 0.25)
  }

  @Test("let embeddings that are the head too learn as a head, unless asked for")
  func tiedRates() throws {
    let tied = ["model.tie_word_embeddings=true"]
    #expect(try Self.resolve(tied, preset: "decoder-128").train.embeddingLearningRate == nil)
    let asked = try Self.resolve(tied + ["train.embedding_learning_rate=0.5"], preset: "decoder-128")
    #expect(asked.train.embeddingLearningRate == 0.5)
  }

  @Test("that nobody knows are named with the nearest one")
  func unknownKeys() {
    let cases = [
      ("train.learning_rat", "train.learning_rate"), ("train.batchsize", "train.batch_size"),
      ("model.hidden_sise", "model.hidden_size"), ("data.ordr", "data.order"), ("model.layers", "model.mlp_bias"),
    ]
    for (key, nearest) in cases {
      let error = #expect(throws: SettingsError.self) { try Self.overrides([key + "=1"]) }
      if case .unknownKey(key, let found) = error {
        #expect(found == nearest || key == "model.layers")
      } else {
        Issue.record("\(key): \(String(describing: error))")
      }
      #expect(error?.exitCode == 65)
    }
  }

  @Test(
    "of the wrong type or impossible say key, value and what would be right",
    arguments: [
      ("train.steps", "many"), ("train.steps", "0"), ("train.steps", "-3"), ("train.batch_size", "1.5"),
      ("train.batch_size", "0"), ("train.learning_rate", "fast"), ("train.learning_rate", "-1"),
      ("train.learning_rate", "nan"), ("train.learning_rate", "0"), ("train.betas", "[0.9]"), ("train.betas", "[1, 2]"),
      ("train.betas", "0.9"), ("train.eps", "0"), ("train.min_lr_ratio", "1.5"), ("train.momentum", "1"),
      ("train.schedule", "steep"), ("train.optimizer", "lion"), ("train.precision", "fp8"), ("train.moments", "fp16"),
      ("train.label_smoothing", "1.1"), ("train.z_loss", "-1"), ("train.seed", "-1"),
      ("train.seed", "18446744073709551616"), ("train.budget", "inf"), ("train.budget", "nan"),
      ("train.budget", "-5"), ("train.micro_batch_size", "5"),
      ("train.micro_batch_size", "32"), ("train.context", "0"), ("train.keep_checkpoints", "0"),
      ("data.order", "random"), ("data.packing", "tight"), ("data.weights", "[0.5, 0]"), ("data.weights", "much"),
      ("data.weights", "[]"),
      ("data.document_mask", "yes"), ("data.bpe_dropout", "1.5"), ("data.prefetch", "0"),
      ("data.prefetch", "99999999999999999999"), ("model.type_vocab_size", "2"), ("model.architecture", "mamba"),
      ("model.hidden_size", "0"), ("model.hidden_size", "9223372036854775807"), ("model.num_hidden_layers", "99999999"),
      ("model.num_attention_heads", "3"), ("model.num_attention_heads", "9223372036854775807"),
      ("model.num_key_value_heads", "3"), ("model.head_dim", "7"), ("model.head_dim", "100000"),
      ("model.hidden_act", "quick_gelu"), ("model.dropout", "1"), ("model.dropout", "-0.1"),
      ("model.tie_word_embeddings", "maybe"), ("model.rope_theta", "0"), ("model.norm_eps", "0"),
      ("model.vocab_size", "200"), ("model.position_embedding_type", "learned"),
      ("model.final_logit_softcapping", "-1"), ("train.batch_size", "9223372036854775807"),
      ("train.context", "9223372036854775807"),
    ])
  func refused(key: String, value: String) {
    let error = thrown { _ = try Self.resolve(["\(key)=\(value)"]) }
    #expect(error?.exitCode == 65)
    #expect(error?.description.contains(key) == true, "\(error?.description ?? "accepted")")
    let number = Double(value)
    let isShown = error?.description.contains(value) == true || (number != nil && number != 0)
    #expect(isShown || value == "0", "\(error?.description ?? "")")
  }

  @Test("leave the precision to the machine once, and keep what it chose")
  func precision() throws {
    for value in ["auto", "fp32", "bf16", "fp16"] {
      var settings = try Self.resolve(["train.precision=\(value)"])
      #expect(settings.yaml.contains("precision: \(value)\n"))
      settings.choosePrecision(for: ReferenceExecutor())
      #expect(settings.yaml.contains("precision: \(value == "auto" ? "fp32" : value)\n"))
    }
    #expect(try Self.resolve([]).train.precision == nil)
    // Moments are as small as the precision allows, unless they are asked to be exact.
    for (asked, expected) in [("auto", "bf16"), ("fp32", "fp32"), ("bf16", "bf16")] {
      for precision in ["fp32", "bf16", "fp16"] {
        var settings = try Self.resolve(["train.precision=\(precision)", "train.moments=\(asked)"])
        settings.choosePrecision(for: ReferenceExecutor())
        #expect(settings.yaml.contains("moments: \(precision == "bf16" ? expected : "fp32")\n"))
      }
    }
  }

  @Test("fit each other")
  func together() throws {
    #expect(thrown { _ = try Self.resolve(["train.context=200", "model.max_position_embeddings=100"]) } != nil)
    #expect(thrown { _ = try Self.resolve(["model.architecture=gpt2", "model.num_key_value_heads=2"]) } != nil)
    #expect(thrown { _ = try Self.resolve(["model.architecture=gpt2", "model.head_dim=64"]) } != nil)
    for bad in ["model.position_embedding_type=rotary", "model.attention_bias=false", "model.num_key_value_heads=2"] {
      for architecture in ["bert", "encoder"] {
        #expect(thrown { _ = try Self.resolve(["model.architecture=\(architecture)", bad]) } is ModelError, "\(bad)")
      }
    }
    #expect(thrown { _ = try Self.resolve(["train.batch_size=65536", "train.context=65536"]) } != nil)
    for (first, micro, fits) in [(6, 3, true), (24, 12, true), (5, 1, false), (48, 1, false), (6, 12, false)] {
      let error = thrown {
        _ = try Self.resolve([
          "train.batch_size=24", "train.first_batch_size=\(first)", "train.micro_batch_size=\(micro)",
        ])
      }
      #expect((error == nil) == fits, "\(first), \(micro)")
    }
    for (first, fits) in [(16, true), (64, true), (24, false), (128, false)] {
      let error = thrown { _ = try Self.resolve(["train.context=64", "train.first_context=\(first)"]) }
      #expect((error == nil) == fits, "\(first)")
    }
    let bothWays = ["model.architecture=bert", "train.context=64", "train.first_context=32"]
    #expect(thrown { _ = try Self.resolve(bothWays) } != nil)
    let bare = thrown { _ = try Self.resolve([], tokens: nil) }
    #expect(bare?.description.contains("model.vocab_size") == true)
    #expect(try Self.resolve(["model.vocab_size=50"], tokens: nil).model.vocabularySize == 50)
  }

  @Test("of a model that is there already may repeat its shape, not change it")
  func initial() throws {
    var initial = ModelConfig(.llama, vocabularySize: 400, hiddenSize: 48, layers: 2, heads: 4, maxPositions: 64)
    initial.dropout = 0.3
    initial.eosTokenID = 3
    let settings = try Self.resolve(["model.num_hidden_layers=2", "train.seed=4"], initial: initial)
    #expect(settings.model.layers == 2 && settings.model.dropout == 0 && settings.model.eosTokenID == 3)
    #expect(settings.train.context == 64)
    #expect(try Self.resolve(["model.dropout=0.2"], initial: initial).model.dropout == 0.2)
    for change in [
      "model.num_hidden_layers=3", "model.hidden_size=96", "model.architecture=qwen3", "model.rope_theta=5",
    ] {
      let error = thrown { _ = try Self.resolve([change], initial: initial) }
      let key = String(change.prefix { $0 != "=" })
      #expect(error?.description.contains(key) == true && error?.description.contains("--init-from") == true)
    }
    #expect(thrown { _ = try Self.resolve(["train.context=65"], initial: initial) } != nil)
    #expect(thrown { _ = try Self.resolve([], initial: initial, tokens: 401) } != nil)
  }

  @Test("of the command line are assignments", arguments: ["", "train.steps", "=5", "="])
  func notAssignments(text: String) {
    #expect(throws: SettingsError.notAnAssignment(text)) { try Self.overrides([text]) }
  }

  @Test("may have a value with an equals sign, which is then refused as a value")
  func equalsSign() throws {
    #expect(try Self.overrides(["train.seed=a=b"])["train.seed"] == "a=b")
  }

  @Test("of a file may be sections, dotted keys, lists; a section may be empty")
  func yamlForms() throws {
    var overrides = SettingOverrides()
    try overrides.add(
      yaml: """
        # a comment
        model:
        data: {order: sequential}
        train.betas: [0.9, 0.99]
        train.steps: 5
        train:
          schedule: "linear"
          eval_every: &every 3
          checkpoint_every: *every
        """, file: "f")
    #expect(overrides["data.order"] == "sequential")
    #expect(overrides["train.betas"] == "[0.9, 0.99]")
    #expect(overrides["train.steps"] == "5")
    #expect(overrides["train.schedule"] == "linear")
    #expect(overrides["train.checkpoint_every"] == "3")
    try overrides.add(yaml: "", file: "f")
    try overrides.add(yaml: "# nothing\n", file: "f")
  }

  @Test(
    "of a hostile file are an error, never a trap",
    arguments: [
      "- a\n- b\n", "just text", "model: 5\n", "model: [1, 2]\n", "train:\n  steps: {a: 1}\n", "a: [", "{", "\t- x",
      "train:\n  steps: 5\n  steps: 6\n", "train:\n  ? [1, 2]\n  : 3\n", "? {a: b}\n: {c: d}\n", "a: &a [*a]\n",
      "train: *nowhere\n", "train:\n  <<: {steps: 3}\n", "\u{0}\u{1}\u{2}", "train:\n  steps: \u{0}\n",
      "%YAML 9.9\n---\na",
      "train: !!binary aGVsbG8=\n", "model:\n  nonsense: 1\n", "1: {2: 3}\n", "~: ~\n",
      String(repeating: "[", count: 100_000), String(repeating: "{a: ", count: 50_000),
      "train:\n  betas: " + String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000),
      "train:\n" + (0..<2000).map { String(repeating: " ", count: 2 + $0) + "steps:\n" }.joined(),
    ])
  func hostileYAML(text: String) {
    var overrides = SettingOverrides()
    let error = thrown { try overrides.add(yaml: text, file: "given.yaml") }
    #expect(error is SettingsError)
    #expect(error?.exitCode == 65)
    #expect((error?.description.count ?? 0) < 1000)
  }

  @Test("halves passes to a divisor of the batch, down to one row")
  func halves() {
    var settings = TrainSettings()
    settings.batchSize = 12
    var passes: [Int] = [settings.resolvedMicroBatch]
    while let smaller = settings.withHalfMicroBatch() {
      settings = smaller
      passes.append(settings.resolvedMicroBatch)
    }
    #expect(passes == [12, 6, 3, 1] && settings.batchSize == 12)
  }
}

/// The error of the contract that a closure throws; nil where it throws none.
func thrown(_ body: () throws -> Void) -> (any ContractError)? {
  do {
    try body()
    return nil
  } catch {
    return error as? any ContractError
  }
}
