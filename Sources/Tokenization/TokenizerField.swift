import Formats

/// A value in a tokenizer.json together with its path, so that each complaint names its place.
struct TokenizerField {
  let value: JSON
  let path: String

  init(_ value: JSON, _ path: String) {
    self.value = value
    self.path = path
  }

  var isNull: Bool { value.isNull }

  private static let root = "the file"

  /// A member of this object; null if there is none.
  func at(_ key: String) -> TokenizerField {
    TokenizerField(value[key] ?? .null, path == Self.root ? key : "\(path).\(key)")
  }

  func required(_ key: String) throws(TokenizationError) -> TokenizerField {
    guard value.object != nil else { throw wrong("an object") }
    let field = at(key)
    guard value[key] != nil else { throw .malformed(key: field.path, expected: "there", found: "missing") }
    return field
  }

  /// The `type` of an object; nil for null and for an object without one.
  func typeName() throws(TokenizationError) -> String? {
    if isNull { return nil }
    guard value.object != nil else { throw wrong("an object") }
    let type = at("type")
    return type.isNull ? nil : try type.string()
  }

  func string() throws(TokenizationError) -> String {
    guard let string = value.string else { throw wrong("a string") }
    return string
  }

  func bool() throws(TokenizationError) -> Bool {
    guard let bool = value.bool else { throw wrong("true or false") }
    return bool
  }

  /// A whole number that is not negative.
  func count() throws(TokenizationError) -> Int {
    guard let count = value.int, count >= 0 else {
      throw .malformed(key: path, expected: "a whole number, at least 0", found: value.serialized())
    }
    return count
  }

  func bool(default missing: Bool) throws(TokenizationError) -> Bool {
    if isNull { return missing }
    guard let bool = value.bool else { throw wrong("true or false") }
    return bool
  }

  func boolOrFalse() throws(TokenizationError) -> Bool { try bool(default: false) }

  func elements() throws(TokenizationError) -> [TokenizerField] {
    guard let values = value.array else { throw wrong("an array") }
    return values.enumerated().map { TokenizerField($1, "\(path)[\($0)]") }
  }

  func wrong(_ expected: String) -> TokenizationError {
    .malformed(key: path, expected: expected, found: value.kind)
  }
}
