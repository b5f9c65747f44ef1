/// Decodes ids one by one, for printing while they are generated.
///
/// Bytes that may be the start of a character are held back until it is whole, so that no broken character appears.
package struct StreamingDecoder: Sendable {
  /// What becomes of bytes that are no UTF-8: a model may produce them.
  package enum InvalidBytes: Sendable {
    /// They are left out: what is printed has no broken character at all.
    case omit
    /// They become U+FFFD: the pieces together equal ``Tokenizer/decode(_:skipSpecialTokens:)``.
    case replace
  }

  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  private let invalidBytes: InvalidBytes
  /// Nil where a token's bytes are its text.
  private var decoder: TokenTextDecoder?
  private var held: [UInt8] = []

  /// - Parameter prompt: what the ids continue: behind text, the space before their first word is said, too.
  package init(
    _ tokenizer: Tokenizer, skipSpecialTokens: Bool = true, invalidBytes: InvalidBytes = .omit,
    behind prompt: [Int32] = []
  ) {
    self.tokenizer = tokenizer
    let continues = prompt.contains { !tokenizer.isSpecial($0) }
    // Where what is no UTF-8 counts, bytes must be seen together.
    decoder = tokenizer.model.decoding.map {
      TokenTextDecoder($0, continues: continues, passesBytes: invalidBytes == .omit)
    }
    self.skipSpecialTokens = skipSpecialTokens
    self.invalidBytes = invalidBytes
  }

  /// The text that an id completes; often empty.
  package mutating func append(_ id: Int32) -> String {
    if skipSpecialTokens, tokenizer.isSpecial(id) { return "" }
    guard tokenizer.model.vocabulary.kind(of: id) != .hole else { return "" }
    let bytes = tokenizer.model.vocabulary.bytes(of: id)
    held += decoder?.append(bytes)[...] ?? bytes
    return release(held.count - incompleteTail(of: held))
  }

  /// The text that is left when no more ids come.
  package mutating func finish() -> String {
    held += decoder?.finish() ?? []
    return release(held.count)
  }

  private mutating func release(_ count: Int) -> String {
    guard count > 0 else { return "" }
    defer { held.removeFirst(count) }
    switch invalidBytes {
    case .replace: return String(decoding: held[..<count], as: UTF8.self)
    case .omit: return validText(held[..<count])
    }
  }

  private func validText(_ bytes: ArraySlice<UInt8>) -> String {
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    var text = String.UnicodeScalarView()
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    while true {
      switch decoder.decode(&iterator) {
      case .scalarValue(let scalar): text.append(scalar)
      case .error: continue
      case .emptyInput: return String(text)
      }
    }
  }
}

/// How many bytes at the end (at most 3) are the start of a character whose other bytes may still come.
func incompleteTail(of bytes: [UInt8]) -> Int {
  for count in 1...3 where count <= bytes.count {
    let lead = bytes[bytes.count - count]
    if lead & 0xC0 == 0x80 { continue }
    let width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
    guard (0xC2...0xF4).contains(lead), count < width else { return 0 }
    // The second byte has a narrower range behind some leads: beyond it the sequence is broken already.
    if count >= 2 {
      let second = bytes[bytes.count - count + 1]
      let broken =
        switch lead {
        case 0xE0: second < 0xA0
        case 0xED: second > 0x9F
        case 0xF0: second < 0x90
        case 0xF4: second > 0x8F
        default: false
        }
      if broken { return 0 }
    }
    return count
  }
  return 0
}
