package import Models

extension Settings {
  /// Makes the settings of a run from what was asked for; later sources win: preset, then overrides.
  ///
  /// - Parameters:
  ///   - initial: the model whose weights the run begins with; its shape is fixed.
  ///   - tokens: the vocabulary that the data's ids come from; nil: ids without a tokenizer.
  /// - Throws: ``SettingsError``, ``ModelError``.
  package static func resolve(
    preset: Preset, overrides: SettingOverrides, initial: ModelConfig?, tokens: Int?
  ) throws -> Settings {
    func number(_ key: String) throws(SettingsError) -> Int? {
      guard let text = overrides[key] else { return nil }
      guard let value = Int(text), value > 0 else {
        throw .wrongType(key: key, value: text, expected: "an integer of at least 1")
      }
      return value
    }

    let contextAsked = try number("train.context")
    var model: ModelConfig
    if let initial {
      model = initial
      model.dropout = 0
    } else {
      guard let vocabulary = try number("model.vocab_size") ?? tokens else {
        throw SettingsError.impossible(
          key: "model.vocab_size", value: "none",
          expected: "the number of ids, as the data has no tokenizer beside it")
      }
      var architecture = preset.architecture
      if let text = overrides["model.architecture"], let asked = ModelConfig.Architecture(rawValue: text) {
        architecture = asked
      }
      // Sizes that follow from others (heads' size, the feed-forward's width) follow from what was asked for.
      model = ModelConfig(
        architecture, vocabularySize: vocabulary, hiddenSize: try number("model.hidden_size") ?? preset.hiddenSize,
        layers: try number("model.num_hidden_layers") ?? preset.layers,
        heads: try number("model.num_attention_heads") ?? preset.heads,
        maxPositions: try number("model.max_position_embeddings") ?? contextAsked ?? preset.context)
      model.dropout = preset.dropout
    }

    var settings = Settings(model: model)
    settings.train.batchSize = preset.batchSize
    settings.train.learningRate = preset.learningRate
    settings.train.warmupSteps = preset.warmupSteps
    settings.train.context = min(contextAsked ?? preset.context, model.maxPositions)
    if let muon = preset.muon {
      let batchSize = try number("train.batch_size") ?? preset.batchSize
      settings.take(muon, batchTokens: Float(batchSize) * Float(settings.train.context))
    }
    if model.isPostNorm, !preset.architecture.isBidirectional {
      // Gradients near the output are large at first. Xiong et al., arXiv:2002.04745.
      settings.train.learningRate = min(settings.train.learningRate, 1e-3)
      settings.train.warmupSteps = max(preset.warmupSteps, 200)
    }
    try overrides.apply(to: &settings)
    // Embeddings that are the head too learn as a head.
    if settings.model.tiesEmbeddings, overrides["train.embedding_learning_rate"] == nil {
      settings.train.embeddingLearningRate = nil
    }
    if let initial { try settings.requireShape(of: initial) }
    try settings.model.validate()
    try settings.validate(tokens: tokens)
    return settings
  }

  private mutating func take(_ muon: Preset.Muon, batchTokens: Float) {
    let factor = muon.rateFactor(batchTokens: batchTokens)
    train.optimizer = .muon
    train.momentum = muon.momentum
    train.beta2 = muon.beta2
    train.learningRate *= factor
    train.matrixLearningRate = muon.matrixLearningRate * factor
    train.embeddingLearningRate = muon.embeddingLearningRate * factor
  }

  private func validate(tokens: Int?) throws(SettingsError) {
    if train.context > model.maxPositions {
      throw .impossible(
        key: "train.context", value: "\(train.context)",
        expected: "at most model.max_position_embeddings = \(model.maxPositions)")
    }
    if let tokens, model.vocabularySize < tokens {
      throw .impossible(
        key: "model.vocab_size", value: "\(model.vocabularySize)", expected: "at least the tokenizer's \(tokens)")
    }
    let least = train.batchSizes[0]
    if let first = train.firstBatchSize, first != least {
      throw .impossible(
        key: "train.first_batch_size", value: "\(first)",
        expected: "what comes of halving train.batch_size = \(train.batchSize) some times")
    }
    if let first = train.firstContext, model.isBidirectional || first != train.contexts[0] {
      throw .impossible(
        key: "train.first_context", value: "\(first)",
        expected: model.isBidirectional
          ? "auto, as this model sees both ways" : "what comes of halving train.context = \(train.context) some times")
    }
    if let micro = train.microBatchSize, micro > least || !least.isMultiple(of: micro) {
      throw .impossible(
        key: "train.micro_batch_size", value: "\(micro)",
        expected: train.firstBatchSize == nil
          ? "a divisor of train.batch_size = \(least)" : "a divisor of train.first_batch_size = \(least)")
    }
    if train.learningRate <= 0 {
      throw .impossible(key: "train.learning_rate", value: "\(train.learningRate)", expected: "above 0")
    }
    if train.epsilon <= 0 {
      throw .impossible(key: "train.eps", value: "\(train.epsilon)", expected: "above 0")
    }
    let elements = Double(train.batchSize) * Double(train.context)
    if elements > 1e9 {
      throw .impossible(
        key: "train.batch_size", value: "\(train.batchSize)", expected: "fewer tokens than 10⁹ an update")
    }
  }

  /// Weights fit only the shape that they were made for.
  private func requireShape(of initial: ModelConfig) throws(SettingsError) {
    var unshaped = model
    unshaped.dropout = initial.dropout
    unshaped.pooling = initial.pooling
    unshaped.initializerRange = initial.initializerRange
    unshaped.bosTokenID = initial.bosTokenID
    unshaped.eosTokenID = initial.eosTokenID
    unshaped.maskTokenID = initial.maskTokenID
    guard unshaped == initial else {
      let here = self
      var there = self
      there.model = initial
      there.model.dropout = model.dropout
      let key = SettingKey.all.first { $0.name.hasPrefix("model.") && $0.read(here) != $0.read(there) }
      throw .impossible(
        key: key?.name ?? "model", value: key?.read(here) ?? "",
        expected: "what --init-from has: \(key?.read(there) ?? "")")
    }
  }
}
