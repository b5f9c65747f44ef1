import Formats

extension TokenizerParts {
  /// SentencePiece's BPE of characters: Llama 2, Mistral, Gemma.
  init(sentencePiece root: TokenizerField, _ model: TokenizerField) throws(TokenizationError) {
    normalizer = TextNormalizer(
      try readNormalizer(root.at("normalizer"), supported: "none, Prepend, Replace, NFC") {
        (type, field) throws(TokenizationError) in
        switch type {
        case "Prepend": .prepend(Array(try field.required("prepend").string().utf8))
        case "Replace":
          .replace(
            Array(try readPlainPattern(field).utf8), with: Array(try field.required("content").string().utf8))
        case "NFC": .nfc
        default: nil
        }
      })
    try refuseGrowth(
      normalizer.steps.map { step in
        switch step {
        case .prepend(let prefix): 1 + prefix.count
        case .replace(let pattern, let replacement): (replacement.count + pattern.count - 1) / pattern.count
        case .nfc, .bert: 1
        }
      }, root.at("normalizer"))
    let metaspace = try readMetaspace(root.at("pre_tokenizer"), normalizer)
    decoding = try TokenDecoding(decoder: root.at("decoder"))
    try refuseAffixes(model)
    try refuseDropout(model)

    var reader = VocabularyReader(.text)
    try reader.readVocabulary(model.required("vocab"))
    addedTokens = try reader.readAddedTokens(root.at("added_tokens"), normalizer)
    let merges = try reader.readMerges(model.required("merges"))
    let unknown = model.at("unk_token")
    kind = .sentencePiece(
      SentencePieceModel(
        metaspace: metaspace, tokens: reader.idsByBytes, merges: MergeTable(merges: merges),
        byteTokens: try model.at("byte_fallback").boolOrFalse()
          ? (UInt8.min...UInt8.max).map { reader.id(of: SentencePieceModel.byteToken($0)) } : [],
        unknown: unknown.isNull ? nil : try reader.id(of: unknown),
        fusesUnknown: try model.at("fuse_unk").boolOrFalse(),
        ignoresMerges: try model.at("ignore_merges").boolOrFalse(), cutsAtMarks: cutsAtMarks(reader, merges)))
    vocabulary = reader.vocabulary
  }
}

private func readMetaspace(
  _ field: TokenizerField, _ normalizer: TextNormalizer
) throws(TokenizationError) -> Metaspace? {
  let type = try field.typeName()
  switch type {
  case nil:
    return nil
  case "Metaspace":
    var metaspace = Metaspace()
    metaspace.mark = Array(try readCharacter(field.required("replacement")).utf8)
    metaspace.prefix = try readPrefix(field)
    metaspace.cutsWords = try field.at("split").bool(default: true)
    return metaspace
  case "Split" where normalizer.leavesNoSpace:
    // Gemma's: it cuts at spaces, of which its normalizer has left none.
    if try readPlainPattern(field) == " ", try !field.at("invert").boolOrFalse() { return nil }
  default: break
  }
  throw .unsupported(
    key: field.path, found: type ?? "null",
    supported: "ByteLevel; none, Metaspace, or a Split at spaces where the normalizer replaces them")
}

func readPrefix(_ field: TokenizerField) throws(TokenizationError) -> Metaspace.Prefix {
  let scheme = field.at("prepend_scheme")
  let old = field.at("add_prefix_space")
  var prefix = Metaspace.Prefix.always
  if !scheme.isNull {
    let name = try scheme.string()
    guard let known = Metaspace.Prefix(rawValue: name) else {
      throw .unsupported(key: scheme.path, found: name, supported: "first, always, never")
    }
    prefix = known
  }
  if try !old.bool(default: true), prefix != .never {
    throw .malformed(key: old.path, expected: "true, as prepend_scheme is \(prefix.rawValue)", found: "false")
  }
  return prefix
}

func readCharacter(_ field: TokenizerField) throws(TokenizationError) -> String {
  let text = try field.string()
  guard text.unicodeScalars.count == 1 else {
    throw .malformed(key: field.path, expected: "one character", found: field.value.serialized())
  }
  return text
}

/// Whether no merge gives a token with a "▁" behind another character, and "▁" itself is a token: then what stands before
/// such a border never joins what stands behind it.
private func cutsAtMarks(
  _ reader: VocabularyReader, _ merges: [(left: Int32, right: Int32, merged: Int32)]
) -> Bool {
  let mark = Metaspace.usualMark
  guard mark.withUnsafeBytes({ reader.idsByBytes.id(of: $0) }) != nil else { return false }
  return merges.allSatisfy { merge in
    var token = reader.vocabulary.bytes(of: merge.merged)
    while token.starts(with: mark) { token = token.dropFirst(mark.count) }
    return replacing(mark, with: [], in: token).map { $0.count == token.count } ?? true
  }
}
