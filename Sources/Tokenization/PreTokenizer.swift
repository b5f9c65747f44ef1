/// Cuts UTF-8 text into words, one after the other, without a regular-expression engine.
///
/// The words cover the text: every byte is in exactly one. Ill-formed UTF-8 is safe: each offending byte counts as
/// one character that is no letter, number or space.
package struct PreTokenizer: Sendable {
  package let pattern: SplitPattern

  package init(_ pattern: SplitPattern) { self.pattern = pattern }

  /// The words of a text as ranges of its bytes.
  package func words(of text: UnsafeRawBufferPointer) -> [Range<Int>] {
    var words: [Range<Int>] = []
    forEachWord(in: text) { words.append($0) }
    return words
  }

  package func words(of text: String) -> [String] {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes { words(of: $0) }.map { String(decoding: bytes[$0], as: UTF8.self) }
  }

  @inline(__always)
  func forEachWord(in text: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
    let scanner = WordScanner(text)
    var start = 0
    switch pattern {
    case .gpt2:
      while start < text.count {
        let end = scanner.gpt2WordEnd(from: start)
        body(start..<end)
        start = end
      }
    case .cl100k(let digits):
      while start < text.count {
        let end = scanner.cl100kWordEnd(from: start, digits: digits)
        body(start..<end)
        start = end
      }
    case .none:
      if text.count > 0 { body(0..<text.count) }
    }
  }
}

/// Finds where a word ends. Each function mirrors one regular expression; its alternatives are tried in order.
struct WordScanner {
  private let text: UnsafeRawBufferPointer
  private let count: Int
  private let classes = CharacterClassTable.shared

  init(_ text: UnsafeRawBufferPointer) {
    self.text = text
    count = text.count
  }

  // MARK: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

  @inline(__always)
  func gpt2WordEnd(from start: Int) -> Int {
    let first = text[start]
    if first == UInt8(ascii: "'"), let end = contractionEnd(from: start, ignoringCase: false) { return end }
    var (kind, width) = character(at: start)
    var place = start
    if first == UInt8(ascii: " "), start + 1 < count {
      let next = character(at: start + 1)
      if next.kind != .space {
        place = start + 1
        (kind, width) = next
      }
    }
    if kind == .space { return whitespaceEnd(from: start, lineEndsTogether: false) }
    return runEnd(of: kind, from: place + width)
  }

  // MARK: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|…

  @inline(__always)
  func cl100kWordEnd(from start: Int, digits: Int) -> Int {
    let first = text[start]
    if first == UInt8(ascii: "'"), let end = contractionEnd(from: start, ignoringCase: true) { return end }
    let (kind, width) = character(at: start)
    let second = start + width
    switch kind {
    case .letter:
      return runEnd(of: .letter, from: second)
    case .number:
      return runEnd(of: .number, from: second, atMost: digits - 1)
    case .other, .space:
      if second < count, !isLineEnd(first) {
        let next = character(at: second)
        if next.kind == .letter { return runEnd(of: .letter, from: second + next.width) }
        if first == UInt8(ascii: " "), next.kind == .other {
          return lineEndsEnd(from: runEnd(of: .other, from: second + next.width))
        }
      }
      if kind == .other { return lineEndsEnd(from: runEnd(of: .other, from: second)) }
      return whitespaceEnd(from: start, lineEndsTogether: true)
    }
  }

  // MARK: Parts of the patterns

  /// The end of 's, 't, 're, 've, 'm, 'll or 'd, whose apostrophe is at `start`.
  private func contractionEnd(from start: Int, ignoringCase: Bool) -> Int? {
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    guard start + 1 < count else { return nil }
    let first = text[start + 1]
    switch first | fold {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return start + 2
    case let letter where letter == UInt8(ascii: "r") || letter == UInt8(ascii: "v") || letter == UInt8(ascii: "l"):
      let wanted = letter == UInt8(ascii: "l") ? UInt8(ascii: "l") : UInt8(ascii: "e")
      guard start + 2 < count, text[start + 2] | fold == wanted else { return nil }
      return start + 3
    default:
      // U+017F, the long s, is an s when case is ignored. No other character beyond ASCII folds to these letters.
      guard ignoringCase, first == 0xC5, start + 2 < count, text[start + 2] == 0xBF else { return nil }
      return start + 3
    }
  }

  /// `\s*[\r\n]+` (if asked for), `\s+(?!\S)`, `\s+`, in this order: up to the last line end of the whitespace; or all
  /// of it at the end of the text; or all but its last character, which goes with the next word; or that one.
  private func whitespaceEnd(from start: Int, lineEndsTogether: Bool) -> Int {
    var place = start
    var last = start
    var afterLineEnd = start
    while place < count {
      let (kind, width) = character(at: place)
      guard kind == .space else { break }
      last = place
      place += width
      if isLineEnd(text[last]) { afterLineEnd = place }
    }
    if lineEndsTogether, afterLineEnd > start { return afterLineEnd }
    if place == count || last == start { return place }
    return last
  }

  private func lineEndsEnd(from start: Int) -> Int {
    var place = start
    while place < count, isLineEnd(text[place]) { place += 1 }
    return place
  }

  @inline(__always)
  private func runEnd(of kind: CharacterClass, from start: Int, atMost limit: Int = .max) -> Int {
    var place = start
    var left = limit
    while place < count, left > 0 {
      let next = character(at: place)
      guard next.kind == kind else { break }
      place += next.width
      left -= 1
    }
    return place
  }

  @inline(__always)
  private func isLineEnd(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }

  @inline(__always)
  func character(at place: Int) -> (kind: CharacterClass, width: Int) {
    let byte = text[place]
    return byte < 0x80 ? (asciiClass(byte), 1) : wideCharacter(at: place)
  }

  /// A character of two to four bytes, or an ill-formed byte.
  private func wideCharacter(at place: Int) -> (kind: CharacterClass, width: Int) {
    let lead = text[place]
    let width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
    guard lead >= 0xC2, lead <= 0xF4, place + width <= count else { return (.other, 1) }
    var scalar = UInt32(lead) & (0xFF >> UInt32(width + 1))
    for offset in 1..<width {
      let byte = text[place + offset]
      guard byte & 0xC0 == 0x80 else { return (.other, 1) }
      scalar = scalar << 6 | UInt32(byte & 0x3F)
    }
    return (classes[scalar], width)
  }
}
