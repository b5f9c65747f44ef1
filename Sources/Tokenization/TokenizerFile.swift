package import Formats

extension Tokenizer {
  /// Reads a tokenizer.json, or that of a folder.
  package static func load(path: String) throws(TokenizationError) -> Tokenizer {
    let file = FileSystem.isFolder(path) ? Path.join(path, "tokenizer.json") : path
    let bytes: [UInt8]
    do {
      bytes = try FileSystem.read(file)
    } catch {
      throw .file(error)
    }
    do {
      return try Tokenizer(jsonBytes: bytes)
    } catch {
      throw .inFile(path: file, error)
    }
  }

  package init(jsonBytes: some Collection<UInt8>) throws(TokenizationError) {
    let json: JSON
    do {
      json = try JSON.parse(jsonBytes)
    } catch {
      throw .notJSON(error)
    }
    try self.init(json: json)
  }

  /// Understands the content of a tokenizer.json: a byte-level BPE model and what goes with it.
  package init(json: JSON) throws(TokenizationError) {
    let root = TokenizerField(json, "the file")
    let preTokenizer = try readPreTokenizer(root.at("pre_tokenizer"))
    let normalizesToNFC = try readNormalizer(root.at("normalizer"))
    try checkDecoder(root.at("decoder"))

    let modelField = try root.required("model")
    try checkModelOptions(modelField)
    var reader = VocabularyReader()
    try reader.readVocabulary(modelField.required("vocab"))
    let addedTokens = try reader.readAddedTokens(root.at("added_tokens"))
    let merges = try reader.readMerges(modelField.required("merges"))
    let ignoresMerges = try modelField.at("ignore_merges").boolOrFalse()

    let model = TokenizerModel(
      preTokenizer: PreTokenizer(preTokenizer), normalizesToNFC: normalizesToNFC,
      merges: MergeTable(byteTokens: try reader.byteTokens(), merges: merges),
      wholeWords: ignoresMerges ? reader.idsByBytes : nil, addedTokens: addedTokens, vocabulary: reader.vocabulary)
    self.init(model: model, addedTokens: addedTokens, document: json)
  }
}

// MARK: The small parts

private func readPreTokenizer(_ field: TokenizerField) throws(TokenizationError) -> SplitPattern {
  let supported = "ByteLevel, or a Sequence of Split (\(SplitPattern.supported) pattern) and ByteLevel"
  switch try field.typeName() {
  case "ByteLevel":
    return try readByteLevel(field) ? .gpt2 : .none
  case "Sequence":
    let steps = try field.required("pretokenizers").elements()
    guard steps.count == 2, try steps[0].typeName() == "Split", try steps[1].typeName() == "ByteLevel" else {
      var names: [String] = []
      for step in steps { names.append(try step.typeName() ?? "null") }
      throw .unsupported(
        key: field.path, found: "a Sequence of \(names.joined(separator: ", "))", supported: supported)
    }
    guard try !readByteLevel(steps[1]) else {
      throw .unsupported(key: steps[1].path, found: "use_regex: true behind a Split", supported: "use_regex: false")
    }
    return try readSplit(steps[0])
  case let name:
    throw .unsupported(key: field.path, found: name ?? "null", supported: supported)
  }
}

/// Whether a ByteLevel step cuts words by GPT-2's pattern.
private func readByteLevel(_ field: TokenizerField) throws(TokenizationError) -> Bool {
  if try field.at("add_prefix_space").bool(default: true) {
    throw .unsupported(key: field.path + ".add_prefix_space", found: "true", supported: "false")
  }
  return try field.at("use_regex").bool(default: true)
}

private func readSplit(_ field: TokenizerField) throws(TokenizationError) -> SplitPattern {
  let pattern = try field.required("pattern")
  guard let regex = pattern.value["Regex"]?.string else {
    throw .unsupported(key: pattern.path, found: pattern.value.serialized(), supported: "a Regex")
  }
  guard let known = SplitPattern(regex: regex) else {
    throw .unsupported(key: pattern.path + ".Regex", found: regex, supported: SplitPattern.supported)
  }
  let behavior = try field.required("behavior").string()
  let inverted = try field.at("invert").boolOrFalse()
  // The patterns match every character, so that keeping the matches and dropping the rest changes nothing.
  guard behavior == "Isolated" || behavior == "Removed" && inverted else {
    throw .unsupported(key: field.path + ".behavior", found: behavior, supported: "Isolated")
  }
  return known
}

private func readNormalizer(_ field: TokenizerField) throws(TokenizationError) -> Bool {
  switch try field.typeName() {
  case nil: return false
  case "NFC": return true
  case "Sequence":
    var composes = false
    for step in try field.required("normalizers").elements() {
      if try readNormalizer(step) { composes = true }
    }
    return composes
  case let name?:
    throw .unsupported(key: field.path, found: name, supported: "none, NFC")
  }
}

private func checkDecoder(_ field: TokenizerField) throws(TokenizationError) {
  switch try field.typeName() {
  case nil, "ByteLevel": return
  case "Sequence":
    for step in try field.required("decoders").elements() { try checkDecoder(step) }
  case let name?:
    throw .unsupported(key: field.path, found: name, supported: "ByteLevel")
  }
}

private func checkModelOptions(_ model: TokenizerField) throws(TokenizationError) {
  // Old files have no type; merges tell that it is BPE.
  let type = try model.typeName() ?? (model.at("merges").isNull ? "null" : "BPE")
  guard type == "BPE" else { throw .unsupported(key: "model.type", found: type, supported: "BPE") }
  if try model.at("byte_fallback").boolOrFalse() {
    throw .unsupported(key: "model.byte_fallback", found: "true", supported: "false: bytes are tokens")
  }
  for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
    let field = model.at(key)
    if field.isNull { continue }
    if try field.string() != "" {
      throw .unsupported(key: field.path, found: field.value.serialized(), supported: "none")
    }
  }
  let dropout = model.at("dropout")
  if !dropout.isNull, dropout.value.double != 0 {
    throw .unsupported(key: dropout.path, found: dropout.value.serialized(), supported: "none")
  }
}
