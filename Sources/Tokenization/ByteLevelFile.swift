import Formats

extension TokenizerParts {
  /// Byte-level BPE: GPT-2, Llama 3, Qwen.
  init(byteLevel root: TokenizerField, _ model: TokenizerField) throws(TokenizationError) {
    let pattern = try readPreTokenizer(root.at("pre_tokenizer"))
    normalizer = TextNormalizer(
      try readNormalizer(root.at("normalizer"), supported: "none, NFC") { type, _ in type == "NFC" ? .nfc : nil })
    try checkDecoder(root.at("decoder"))
    if try model.at("byte_fallback").boolOrFalse() {
      throw .unsupported(key: "model.byte_fallback", found: "true", supported: "false: bytes are tokens")
    }
    try refuseAffixes(model)
    try refuseDropout(model)

    var reader = VocabularyReader(.bytes)
    try reader.readVocabulary(model.required("vocab"))
    addedTokens = try reader.readAddedTokens(root.at("added_tokens"), normalizer)
    let merges = try reader.readMerges(model.required("merges"))
    let ignoresMerges = try model.at("ignore_merges").boolOrFalse()
    let vocabulary = reader.vocabulary
    self.vocabulary = vocabulary
    let table = MergeTable(byteTokens: try reader.byteTokens(), merges: merges)
    kind = .byteLevel(
      ignoresMerges
        ? ByteLevelModel(preTokenizer: PreTokenizer(pattern), merges: table, wholeWords: reader.idsByBytes)
        : ByteLevelModel(
          preTokenizer: PreTokenizer(pattern), merges: table,
          boundaries: MergeBoundaries(tokens: merges.lazy.map { vocabulary.bytes(of: $0.merged) })))
  }
}

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

private func checkDecoder(_ field: TokenizerField) throws(TokenizationError) {
  switch try field.typeName() {
  case nil, "ByteLevel": return
  case "Sequence":
    for step in try field.required("decoders").elements() { try checkDecoder(step) }
  case let name?:
    throw .unsupported(key: field.path, found: name, supported: "ByteLevel")
  }
}
