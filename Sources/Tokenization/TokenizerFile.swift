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

  /// Understands the content of a tokenizer.json; what Mayfly does not have is an error that names the part.
  package init(json: JSON) throws(TokenizationError) {
    let root = TokenizerField(json, "the file")
    let modelField = try root.required("model")
    let parts: TokenizerParts =
      switch try modelType(modelField) {
      case "WordPiece": try TokenizerParts(wordPiece: root, modelField)
      case "BPE" where try writesBytes(root): try TokenizerParts(byteLevel: root, modelField)
      case "BPE": try TokenizerParts(sentencePiece: root, modelField)
      case let type: throw .unsupported(key: "model.type", found: type, supported: "BPE, WordPiece")
      }
    let model = TokenizerModel(
      kind: parts.kind, normalizer: parts.normalizer, decoding: parts.decoding, addedTokens: parts.addedTokens,
      vocabulary: parts.vocabulary)
    self.init(model: model, addedTokens: parts.addedTokens, document: json)
  }
}

/// What a tokenizer.json comes down to; each kind of tokenizer reads its own.
struct TokenizerParts {
  var kind: TokenizerModel.Kind
  var normalizer: TextNormalizer
  var decoding: TokenDecoding?
  var addedTokens: [AddedToken]
  var vocabulary: Vocabulary
}

private func modelType(_ model: TokenizerField) throws(TokenizationError) -> String {
  if let type = try model.typeName() { return type }
  // Old files have no type; what is there tells.
  if !model.at("merges").isNull { return "BPE" }
  return model.at("max_input_chars_per_word").isNull ? "null" : "WordPiece"
}

/// Whether BPE's tokens are written in the byte alphabet: a ByteLevel step says so, before or behind the model.
private func writesBytes(_ root: TokenizerField) throws(TokenizationError) -> Bool {
  func names(_ field: TokenizerField, _ steps: String) throws(TokenizationError) -> Bool {
    switch try field.typeName() {
    case "ByteLevel": return true
    case "Sequence":
      for step in try field.required(steps).elements() where try names(step, steps) { return true }
      return false
    default: return false
    }
  }
  if try names(root.at("pre_tokenizer"), "pretokenizers") { return true }
  return try names(root.at("decoder"), "decoders")
}

/// The steps of a normalizer.
///
/// - Parameter step: what one of them is, which is no Sequence; nil if it is not supported.
func readNormalizer(
  _ field: TokenizerField, supported: String,
  _ step: (_ type: String, TokenizerField) throws(TokenizationError) -> TextNormalizer.Step?
) throws(TokenizationError) -> [TextNormalizer.Step] {
  switch try field.typeName() {
  case nil: return []
  case "Sequence":
    var steps: [TextNormalizer.Step] = []
    for part in try field.required("normalizers").elements() {
      steps += try readNormalizer(part, supported: supported, step)
    }
    return steps
  case let name?:
    if let read = try step(name, field) { return [read] }
    throw .unsupported(key: field.path, found: name, supported: supported)
  }
}

/// The pattern of a Replace or Split that is a plain text.
func readPlainPattern(_ field: TokenizerField) throws(TokenizationError) -> String {
  let pattern = try field.required("pattern")
  guard let text = pattern.value["String"]?.string, !text.isEmpty else {
    throw .unsupported(key: pattern.path, found: pattern.value.serialized(), supported: "a String that is not empty")
  }
  return text
}

/// Refuses steps that make text so much longer that a file of a few lines could fill the memory.
///
/// - Parameter growth: how many times as long each step makes a text at most.
func refuseGrowth(_ growth: [Int], _ field: TokenizerField) throws(TokenizationError) {
  let limit = 1024.0
  guard growth.reduce(1, { $0 * Double(max($1, 1)) }) <= limit else {
    throw .unsupported(
      key: field.path, found: "steps that make a text more than \(Int(limit)) times as long", supported: "shorter ones")
  }
}

/// Refuses dropout, which is for training: encoding a text twice must give the same ids.
func refuseDropout(_ model: TokenizerField) throws(TokenizationError) {
  let dropout = model.at("dropout")
  if !dropout.isNull, dropout.value.double != 0 {
    throw .unsupported(key: dropout.path, found: dropout.value.serialized(), supported: "none")
  }
}

/// Refuses the marks that some BPE models write into tokens.
func refuseAffixes(_ model: TokenizerField) throws(TokenizationError) {
  for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
    let field = model.at(key)
    if field.isNull { continue }
    if try field.string() != "" {
      throw .unsupported(key: field.path, found: field.value.serialized(), supported: "none")
    }
  }
}
