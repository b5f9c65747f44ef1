package import Compute
package import Formats
package import Tokenization

/// A model on disk: a Hugging Face folder, whoever wrote it.
package struct ModelFolder: Sendable {
  package static let configName = "config.json"
  package static let weightsName = "model.safetensors"
  package static let tokenizerName = "tokenizer.json"

  package let path: String
  package let config: ModelConfig

  /// Opens what a user named: a run (its latest checkpoint), a checkpoint, any Hugging Face folder.
  ///
  /// A folder with a manifest is checked against it: every file's size and hash.
  ///
  /// - Throws: ``FormatError``, ``ModelError``.
  package init(_ path: String) throws {
    if Path.fileExtension(path).lowercased() == "gguf" {
      throw ModelError.unsupported(
        what: "\(path): a GGUF file", supported: "Hugging Face folders, runs and checkpoints")
    }
    let latest = Path.join(path, "checkpoints/latest")
    let folder = FileSystem.exists(latest) ? latest : path
    guard FileSystem.exists(folder) else { throw FormatError.missing(path: path) }
    guard FileSystem.isFolder(folder) else { throw FormatError.notAFolder(path: path) }
    let configPath = Path.join(folder, Self.configName)
    guard FileSystem.exists(configPath) else {
      throw ModelError.missing(key: Self.configName, file: "\(path) holds no model and no run with checkpoints")
    }
    if Manifest.exists(in: folder) { try Manifest.verify(folder) }
    self.path = folder
    config = try ModelConfig(huggingFace: FileSystem.readJSON(configPath), file: configPath)
  }

  /// The tokenizer beside the weights; nil if there is none.
  ///
  /// - Throws: ``TokenizationError``.
  package func tokenizer() throws -> Tokenizer? {
    let file = Path.join(path, Self.tokenizerName)
    return FileSystem.exists(file) ? try Tokenizer.load(path: file) : nil
  }

  /// How conversations are written for this model; nil where the folder doesn't say.
  ///
  /// - Throws: ``TokenizationError``.
  package func chatTemplate() throws -> ChatTemplate? { try ChatTemplate.load(folder: path) }

  /// Reads the weights into a store of this model's layout; what the store has no place for, as the head of a model
  /// that becomes a classifier, is left out.
  ///
  /// - Throws: ``FormatError``; ``ModelError/tensor(name:expected:found:file:)`` for one that is missing, has another
  ///   shape, or that this architecture doesn't have.
  package func load(into store: any ParameterStore) throws {
    let source = try SafetensorsFolder(path: path)
    let map = try WeightMap(config, layout: Transformer(config).parameterLayout)
    var used: Set<String> = []
    for entry in map.entries {
      let name = ([entry.name] + entry.otherNames).first { source.info($0) != nil }
      guard let name, let info = source.info(name) else {
        throw ModelError.tensor(name: entry.name, expected: "\(entry.shape)", found: "none", file: path)
      }
      guard info.shape == entry.shape.dimensions else {
        throw ModelError.tensor(
          name: entry.name, expected: "\(entry.shape)", found: "\(Shape(info.shape))", file: path)
      }
      used.insert(name)
      guard let parameter = store.layout[entry.parameter] else { continue }
      var values = try source.floats(name)
      if let broken = values.first(where: { !$0.isFinite }) {
        throw ModelError.tensor(name: entry.name, expected: "finite numbers", found: "\(broken)", file: path)
      }
      if entry.isTransposed, entry.shape.rank == 2 { values = transposed(values, rows: entry.shape[0]) }
      let offset = parameter.offset + entry.rows.lowerBound * (parameter.shape.rank == 2 ? parameter.shape[1] : 1)
      try values.withUnsafeBufferPointer { try store.write(.weights, at: offset, from: $0) }
    }
    try rejectUnknown(source.tensors.map(\.name).filter { !used.contains($0) })
  }

  /// A tensor that the forward pass would leave out means another model than the config says.
  private func rejectUnknown(_ names: [String]) throws(ModelError) {
    // Of BERT, what predicts no words, and the other name of the head's bias.
    let harmless = [
      ".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq", "embeddings.position_ids", "pooler.dense.weight",
      "pooler.dense.bias", "cls.seq_relationship.weight", "cls.seq_relationship.bias", "cls.predictions.bias",
      "cls.predictions.decoder.bias",
    ]
    for name in names where !harmless.contains(where: name.hasSuffix) {
      if config.tiesEmbeddings, ["lm_head.weight", "cls.predictions.decoder.weight"].contains(name) { continue }
      throw .tensor(
        name: name, expected: "only what \(config.architecture.rawValue) has", found: "a tensor more", file: path)
    }
  }
}

// MARK: Writing

extension ModelFolder {
  /// Writes what Hugging Face's tools need into a folder that is being filled.
  ///
  /// - Parameters:
  ///   - tokenizer: nil for ids without text.
  ///   - chatTemplate: nil for models that aren't for conversations.
  /// - Throws: ``FormatError``.
  package static func write(
    _ config: ModelConfig, weights store: any ParameterSource, tokenizer: Tokenizer?, chatTemplate: ChatTemplate? = nil,
    into folder: StagedFolder
  ) throws {
    try FileSystem.write(config.huggingFace.serialized(pretty: true) + "\n", to: folder.file(configName))
    try FileSystem.write(
      generationConfig(config).serialized(pretty: true) + "\n", to: folder.file("generation_config.json"))
    if config.convolutionTaps > 0 {
      try FileSystem.write(TransformersModule.source, to: folder.file(TransformersModule.fileName))
    }
    if let tokenizer {
      try FileSystem.write(tokenizer.json().serialized(pretty: true) + "\n", to: folder.file(tokenizerName))
      try FileSystem.write(
        tokenizer.configurationJSON(
          maximumLength: config.maxPositions, specialTokens: chatTemplate?.specialTokens ?? [:]
        ).serialized(pretty: true) + "\n",
        to: folder.file("tokenizer_config.json"))
    }
    if let chatTemplate { try FileSystem.write(chatTemplate.source, to: folder.file(ChatTemplate.fileName)) }

    let map = WeightMap(config, layout: store.layout)
    let tensors =
      map.entries.map { (name: $0.name, entry: $0) }
      + map.copies.flatMap { copy in map.entries.filter { $0.name == copy.of }.map { (name: copy.name, entry: $0) } }
    let writer = try SafetensorsWriter(
      path: folder.file(weightsName),
      tensors: tensors.map { SafetensorsWriter.Tensor($0.name, .float32, $0.entry.shape.dimensions) })
    for (name, entry) in tensors {
      guard let parameter = store.layout[entry.parameter] else { continue }
      let width = parameter.shape.rank == 2 ? parameter.shape[1] : 1
      var values = [Float](repeating: 0, count: entry.shape.count)
      try values.withUnsafeMutableBufferPointer {
        try store.read(.weights, at: parameter.offset + entry.rows.lowerBound * width, into: $0)
      }
      if entry.isTransposed, entry.shape.rank == 2 { values = transposed(values, rows: entry.shape[1]) }
      try writer.append(name, values)
    }
    try writer.commit()
  }

  private static func generationConfig(_ config: ModelConfig) -> JSON {
    func id(_ value: Int?) -> JSON { value.map { .integer(Int64($0)) } ?? .null }
    return [
      "bos_token_id": id(config.bosTokenID), "eos_token_id": id(config.eosTokenID),
      "pad_token_id": id(config.eosTokenID),
    ]
  }
}
