extension JSON {
  /// Brackets may be nested this deep; the reader recurses, and a hostile file must not overflow the stack.
  package static let depthLimit = 512

  /// Reads one JSON text, strictly by RFC 8259.
  ///
  /// - Throws: ``JSONError`` also for what the RFC leaves open: a key twice in one object, an unpaired surrogate,
  ///   a number beyond Double's range, more than ``depthLimit`` nested brackets, a byte-order mark.
  package static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSON {
    var parser = JSONParser(bytes: bytes)
    return try parser.parseDocument()
  }

  package static func parse(_ bytes: some Collection<UInt8>) throws(JSONError) -> JSON {
    // The closure's rethrows would lose the error's type: hence a Result.
    let lent = bytes.withContiguousStorageIfAvailable { buffer in
      Result { () throws(JSONError) in try parse(UnsafeRawBufferPointer(buffer)) }
    }
    if let lent { return try lent.get() }
    return try parse(Array(bytes))
  }

  /// As ``parse(_:)``, but unpaired surrogates, which Python and JavaScript write without being asked, become U+FFFD each.
  ///
  /// - Returns: also how many there were.
  package static func parseReplacingSurrogates(
    _ bytes: [UInt8]
  ) throws(JSONError) -> (json: JSON, replaced: Int) {
    try bytes.lendBytes { bytes throws(JSONError) in
      var parser = JSONParser(bytes: bytes)
      parser.replacesSurrogates = true
      return (try parser.parseDocument(), parser.replacedSurrogates)
    }
  }

  package static func parse(_ text: String) throws(JSONError) -> JSON { try parse(text.utf8) }
}

struct JSONParser {
  let bytes: UnsafeRawBufferPointer
  var offset = 0
  var depth = 0
  /// The current string's bytes, when it has escapes.
  var scratch: [UInt8] = []
  var replacesSurrogates = false
  var replacedSurrogates = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func parseDocument() throws(JSONError) -> JSON {
    skipWhitespace()
    let value = try parseValue()
    skipWhitespace()
    guard offset == bytes.count else { throw expected("the end of the text") }
    return value
  }

  // MARK: Values

  mutating func parseValue() throws(JSONError) -> JSON {
    guard offset < bytes.count else { throw expected("a value") }
    switch bytes[offset] {
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "{"): return .object(try parseObject())
    case UInt8(ascii: "["): return .array(try parseArray())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
    case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
    case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    default: throw expected("a value")
    }
  }

  mutating func parseWord(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    for index in 0..<word.utf8CodeUnitCount {
      guard offset + index < bytes.count, bytes[offset + index] == word.utf8Start[index] else {
        throw expected("a value")
      }
    }
    offset += word.utf8CodeUnitCount
    return value
  }

  mutating func parseObject() throws(JSONError) -> JSONObject {
    try enter()
    var object = JSONObject()
    skipWhitespace()
    if take(UInt8(ascii: "}")) {
      depth -= 1
      return object
    }
    while true {
      guard peek() == UInt8(ascii: "\"") else { throw expected("a key in quotation marks") }
      let start = offset
      let key = try parseString()
      skipWhitespace()
      guard take(UInt8(ascii: ":")) else { throw expected("':' after a key") }
      skipWhitespace()
      let value = try parseValue()
      guard object.insert(key, value) else { throw error(.duplicateKey(key), at: start) }
      skipWhitespace()
      if take(UInt8(ascii: ",")) {
        skipWhitespace()
      } else if take(UInt8(ascii: "}")) {
        depth -= 1
        return object
      } else {
        throw expected("',' or '}'")
      }
    }
  }

  mutating func parseArray() throws(JSONError) -> [JSON] {
    try enter()
    var values: [JSON] = []
    skipWhitespace()
    if take(UInt8(ascii: "]")) {
      depth -= 1
      return values
    }
    while true {
      values.append(try parseValue())
      skipWhitespace()
      if take(UInt8(ascii: ",")) {
        skipWhitespace()
      } else if take(UInt8(ascii: "]")) {
        depth -= 1
        return values
      } else {
        throw expected("',' or ']'")
      }
    }
  }

  /// Past an opening bracket.
  mutating func enter() throws(JSONError) {
    guard depth < JSON.depthLimit else { throw error(.tooDeep(limit: JSON.depthLimit)) }
    depth += 1
    offset += 1
  }

  // MARK: Strings

  mutating func parseString() throws(JSONError) -> String {
    offset += 1
    let start = offset
    while offset < bytes.count {
      switch bytes[offset] {
      case UInt8(ascii: "\""):
        let content = UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
        guard let text = decodeUTF8(content) else {
          throw error(.invalidUTF8, at: start + validUTF8Prefix(content))
        }
        offset += 1
        return text
      case UInt8(ascii: "\\"):
        return try parseEscapedString(from: start)
      case 0..<0x20:
        throw error(.controlCharacter(bytes[offset]))
      default:
        offset += 1
      }
    }
    throw expected("'\"' at the end of a string")
  }

  /// The rest of a string whose first escape stands at `offset`.
  mutating func parseEscapedString(from start: Int) throws(JSONError) -> String {
    scratch.removeAll(keepingCapacity: true)
    var plain = start
    while offset < bytes.count {
      switch bytes[offset] {
      case UInt8(ascii: "\""):
        try appendPlain(from: plain)
        offset += 1
        return String(decoding: scratch, as: UTF8.self)
      case UInt8(ascii: "\\"):
        try appendPlain(from: plain)
        try parseEscape()
        plain = offset
      case 0..<0x20:
        throw error(.controlCharacter(bytes[offset]))
      default:
        offset += 1
      }
    }
    throw expected("'\"' at the end of a string")
  }

  private mutating func appendPlain(from plain: Int) throws(JSONError) {
    let content = UnsafeRawBufferPointer(rebasing: bytes[plain..<offset])
    let valid = validUTF8Prefix(content)
    guard valid == content.count else { throw error(.invalidUTF8, at: plain + valid) }
    scratch.append(contentsOf: content)
  }

  private mutating func parseEscape() throws(JSONError) {
    let start = offset
    guard start + 1 < bytes.count else { throw error(.badEscape("\\")) }
    offset += 2
    switch bytes[start + 1] {
    case UInt8(ascii: "\""): scratch.append(UInt8(ascii: "\""))
    case UInt8(ascii: "\\"): scratch.append(UInt8(ascii: "\\"))
    case UInt8(ascii: "/"): scratch.append(UInt8(ascii: "/"))
    case UInt8(ascii: "b"): scratch.append(0x08)
    case UInt8(ascii: "f"): scratch.append(0x0C)
    case UInt8(ascii: "n"): scratch.append(0x0A)
    case UInt8(ascii: "r"): scratch.append(0x0D)
    case UInt8(ascii: "t"): scratch.append(0x09)
    case UInt8(ascii: "u"):
      let scalar = try parseUnicodeEscape(at: start)
      for unit in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { scratch.append(unit) }
    default:
      throw error(.badEscape(excerpt(start, 2)), at: start)
    }
  }

  /// One or two `\uXXXX`, the first of which starts at `start`.
  private mutating func parseUnicodeEscape(at start: Int) throws(JSONError) -> Unicode.Scalar {
    let first = try parseHexDigits(at: start)
    if let scalar = Unicode.Scalar(first) { return scalar }
    let next = offset
    if first < 0xDC00, offset + 1 < bytes.count,
      bytes[offset] == UInt8(ascii: "\\"), bytes[offset + 1] == UInt8(ascii: "u")
    {
      offset += 2
      let second = try parseHexDigits(at: next)
      if (0xDC00...0xDFFF).contains(second),
        let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00))
      {
        return scalar
      }
    }
    guard replacesSurrogates else { throw error(.loneSurrogate(excerpt(start, 6)), at: start) }
    // What follows stands for itself.
    offset = next
    replacedSurrogates += 1
    return "\u{FFFD}"
  }

  private mutating func parseHexDigits(at start: Int) throws(JSONError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard offset < bytes.count, let digit = hexDigit(bytes[offset]) else {
        throw error(.badEscape(excerpt(start, 6)), at: start)
      }
      value = value << 4 | digit
      offset += 1
    }
    return value
  }

  // MARK: Bytes

  @inline(__always)
  private mutating func skipWhitespace() {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x0A, 0x0D, 0x09: offset += 1
      default: return
      }
    }
  }

  @inline(__always)
  func peek() -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

  @inline(__always)
  mutating func take(_ byte: UInt8) -> Bool {
    guard offset < bytes.count, bytes[offset] == byte else { return false }
    offset += 1
    return true
  }

  // MARK: Errors

  func expected(_ what: String) -> JSONError {
    let found: String
    if let byte = peek() {
      found = (0x21..<0x7F).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "the byte \(hex(byte))"
    } else {
      found = "the end of the text"
    }
    return error(.expected(what, found: found))
  }

  func error(_ problem: JSONError.Problem, at place: Int? = nil) -> JSONError {
    let place = place ?? offset
    let line = bytes[..<place].count { $0 == 0x0A } + 1
    return JSONError(problem, offset: place, line: line)
  }

  func excerpt(_ start: Int, _ length: Int) -> String {
    String(decoding: bytes[start..<min(start + length, bytes.count)], as: UTF8.self)
  }
}

private func hexDigit(_ byte: UInt8) -> UInt16? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte - UInt8(ascii: "0"))
  case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte - UInt8(ascii: "a") + 10)
  case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte - UInt8(ascii: "A") + 10)
  default: nil
  }
}

/// The text of the bytes; nil if they are no UTF-8.
private func decodeUTF8(_ bytes: UnsafeRawBufferPointer) -> String? {
  // Repairing and comparing is several times faster than String(validating:as:), which is not specialised.
  let text = String(decoding: bytes.assumingMemoryBound(to: UInt8.self), as: UTF8.self)
  let isSame = text.utf8.withContiguousStorageIfAvailable { repaired in
    guard repaired.count == bytes.count else { return false }
    for offset in 0..<repaired.count where repaired[offset] != bytes[offset] { return false }
    return true
  }
  return isSame ?? text.utf8.elementsEqual(bytes) ? text : nil
}

/// How many bytes from the start are whole, valid UTF-8 sequences.
private func validUTF8Prefix(_ bytes: UnsafeRawBufferPointer) -> Int {
  var decoder = UTF8()
  var iterator = bytes.makeIterator()
  var valid = 0
  while true {
    switch decoder.decode(&iterator) {
    case .scalarValue(let scalar): valid += UTF8.width(scalar)
    case .emptyInput, .error: return valid
    }
  }
}
