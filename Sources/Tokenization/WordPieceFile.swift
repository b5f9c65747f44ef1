import Formats

extension TokenizerParts {
  /// WordPiece: BERT and its kin.
  init(wordPiece root: TokenizerField, _ model: TokenizerField) throws(TokenizationError) {
    normalizer = TextNormalizer(
      try readNormalizer(root.at("normalizer"), supported: "none, BertNormalizer, NFC") {
        (type, field) throws(TokenizationError) in
        switch type {
        case "BertNormalizer": .bert(try readBertNormalizer(field))
        case "NFC": .nfc
        default: nil
        }
      })
    let preTokenizer = root.at("pre_tokenizer")
    let cutter = try preTokenizer.typeName() ?? "null"
    guard cutter == "BertPreTokenizer" else {
      throw .unsupported(key: preTokenizer.path, found: cutter, supported: "BertPreTokenizer")
    }
    decoding = try TokenDecoding(decoder: root.at("decoder"))

    var reader = VocabularyReader(.text)
    try reader.readVocabulary(model.required("vocab"))
    addedTokens = try reader.readAddedTokens(root.at("added_tokens"), normalizer)
    let prefix = Array(try model.required("continuing_subword_prefix").string().utf8)
    kind = .wordPiece(
      WordPieceModel(
        first: reader.idsByBytes, continuing: reader.idsByBytes.dropping(prefix: prefix),
        unknown: try reader.id(of: model.required("unk_token")),
        longestWord: try model.required("max_input_chars_per_word").count(),
        longestToken: reader.idsByBytes.longest))
    vocabulary = reader.vocabulary
  }
}

private func readBertNormalizer(_ field: TokenizerField) throws(TokenizationError) -> BertNormalizer {
  var normalizer = BertNormalizer()
  normalizer.cleansText = try field.required("clean_text").bool()
  normalizer.separatesChinese = try field.required("handle_chinese_chars").bool()
  normalizer.lowercases = try field.required("lowercase").bool()
  // Where nothing is said, accents go with the capitals.
  normalizer.stripsAccents = try field.at("strip_accents").bool(default: normalizer.lowercases)
  return normalizer
}
