import Formats

/// Reads the large parts of a tokenizer.json: tokens, added tokens and merges.
struct VocabularyReader {
  /// How the file writes a token: in the byte alphabet, or as its own text.
  enum Spelling { case bytes, text }

  private let spelling: Spelling
  private(set) var vocabulary = Vocabulary()
  private(set) var idsByBytes = TokenTable(capacity: 0)
  private var modelVocabulary = JSONObject()

  init(_ spelling: Spelling) { self.spelling = spelling }

  // MARK: Tokens

  mutating func readVocabulary(_ field: TokenizerField) throws(TokenizationError) {
    guard let object = field.value.object else { throw field.wrong("an object") }
    modelVocabulary = object
    vocabulary.reserve(tokens: object.count)
    idsByBytes = TokenTable(capacity: object.count)
    var bytes: [UInt8] = []
    for (token, value) in object {
      let id = try checkedID(value, of: token, path: field.path)
      guard vocabulary.kind(of: Int32(id)) == .hole else { throw duplicate(id, token) }
      bytes.removeAll(keepingCapacity: true)
      if withUTF8(of: token, { appendBytes(of: $0, to: &bytes) }) {
        vocabulary.set(id, to: bytes, kind: .plain)
        bytes.withUnsafeBytes { idsByBytes.insert($0, id: Int32(id)) }
      } else {
        // No merge leads to such a token. It stands for its own text.
        vocabulary.set(id, to: token.utf8, kind: .plain)
      }
    }
  }

  private func appendBytes(of token: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) -> Bool {
    switch spelling {
    case .bytes: return ByteAlphabet.appendBytes(of: token, to: &bytes)
    case .text: bytes.append(contentsOf: token)
    }
    return true
  }

  /// The id of a token by its text.
  func id(of token: String) -> Int32? { withUTF8(of: token) { idsByBytes.id(of: UnsafeRawBufferPointer($0)) } }

  /// The id of a token that another part of the file names.
  func id(of field: TokenizerField) throws(TokenizationError) -> Int32 {
    let token = try field.string()
    guard let id = id(of: token) else { throw .missingToken(key: field.path, token: token) }
    return id
  }

  /// - Parameter path: where the id stands; the token is named beside it.
  private func checkedID(_ value: JSON, of token: String, path: String) throws(TokenizationError) -> Int {
    guard case .integer(let id) = value else {
      throw .malformed(key: "the id of \"\(token)\" in \(path)", expected: "an integer", found: value.kind)
    }
    guard id >= 0, id < Vocabulary.limit else {
      throw .idOutOfRange(token: token, id: Int(id), limit: Vocabulary.limit)
    }
    return Int(id)
  }

  private func duplicate(_ id: Int, _ token: String) -> TokenizationError {
    .duplicateID(id: id, first: String(decoding: vocabulary.bytes(of: Int32(id)), as: UTF8.self), second: token)
  }

  func byteTokens() throws(TokenizationError) -> [Int32] {
    var tokens: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      guard let id = withUnsafeBytes(of: byte, { idsByBytes.id(of: $0) }) else { throw .missingByte(byte) }
      tokens.append(id)
    }
    return tokens
  }

  // MARK: Added tokens

  mutating func readAddedTokens(
    _ field: TokenizerField, _ normalizer: TextNormalizer
  ) throws(TokenizationError) -> [AddedToken] {
    if field.isNull { return [] }
    var tokens: [AddedToken] = []
    for entry in try field.elements() {
      let content = try entry.required("content").string()
      let idField = try entry.required("id")
      let id = try checkedID(idField.value, of: content, path: idField.path)
      if try entry.at("single_word").boolOrFalse() {
        throw .unsupported(key: "\(entry.path).single_word", found: "true", supported: "false")
      }
      var token = AddedToken(id: Int32(id), content: content)
      token.takesSpaceBefore = try entry.at("lstrip").boolOrFalse()
      token.takesSpaceBehind = try entry.at("rstrip").boolOrFalse()
      token.special = try entry.at("special").boolOrFalse()
      token.normalized = try entry.at("normalized").bool(default: !token.special)

      let sameInModel = modelVocabulary[content]?.int
      if let sameInModel, sameInModel != id {
        throw .malformed(key: idField.path, expected: "\(sameInModel) as in model.vocab", found: "\(id)")
      }
      guard sameInModel != nil || vocabulary.kind(of: Int32(id)) == .hole else { throw duplicate(id, content) }
      // Its text is its content as it stands, also where it would read as byte characters; or as it is looked for.
      let text = token.normalized ? normalizer.normalized(content) : Array(content.utf8)
      vocabulary.set(id, to: text, kind: token.special ? .special : .plain)
      tokens.append(token)
    }
    return tokens
  }

  // MARK: Merges

  /// The merges in order of rank, from `"a b"` or `["a", "b"]`.
  func readMerges(
    _ field: TokenizerField
  ) throws(TokenizationError) -> [(left: Int32, right: Int32, merged: Int32)] {
    guard let entries = field.value.array else { throw field.wrong("an array") }
    var merges: [(left: Int32, right: Int32, merged: Int32)] = []
    merges.reserveCapacity(entries.count)
    var bytes: [UInt8] = []
    for (index, entry) in entries.enumerated() {
      bytes.removeAll(keepingCapacity: true)
      let middle: Int?
      if let text = entry.string, text.utf8.contains(UInt8(ascii: " ")) {
        middle = withUTF8(of: text) { appendParts(of: $0, to: &bytes) }
      } else if let pair = entry.array, pair.count == 2, let left = pair[0].string, let right = pair[1].string {
        middle = withUTF8(of: left) { left in withUTF8(of: right) { appendParts(left, $0, to: &bytes) } }
      } else {
        throw .malformed(
          key: "\(field.path)[\(index)]", expected: "two tokens, \"a b\" or [\"a\", \"b\"]", found: entry.serialized())
      }
      guard let middle, let merge = merge(bytes, middle: middle) else {
        throw .mergeOutOfVocabulary(index: index, merge: entry.serialized())
      }
      merges.append(merge)
    }
    return merges
  }

  /// Appends the bytes of `left right`.
  ///
  /// - Returns: how many are the left one's; nil if these are not two tokens.
  private func appendParts(of text: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) -> Int? {
    guard let space = text.firstIndex(of: UInt8(ascii: " ")) else { return nil }
    let right = text[(space + 1)...]
    guard !right.contains(UInt8(ascii: " ")) else { return nil }
    return appendParts(UnsafeBufferPointer(rebasing: text[..<space]), UnsafeBufferPointer(rebasing: right), to: &bytes)
  }

  private func appendParts(
    _ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]
  ) -> Int? {
    guard !left.isEmpty, !right.isEmpty, appendBytes(of: left, to: &bytes) else { return nil }
    let middle = bytes.count
    return appendBytes(of: right, to: &bytes) ? middle : nil
  }

  private func merge(_ bytes: [UInt8], middle: Int) -> (left: Int32, right: Int32, merged: Int32)? {
    bytes.withUnsafeBytes { bytes in
      guard let left = idsByBytes.id(of: UnsafeRawBufferPointer(rebasing: bytes[..<middle])),
        let right = idsByBytes.id(of: UnsafeRawBufferPointer(rebasing: bytes[middle...])),
        let merged = idsByBytes.id(of: bytes)
      else { return nil }
      return (left, right, merged)
    }
  }
}

private func withUTF8<Result>(of text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
  var text = text
  return text.withUTF8(body)
}
