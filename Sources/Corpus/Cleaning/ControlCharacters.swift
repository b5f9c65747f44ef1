/// Characters that nobody sees and no text is made of: controls but for tab and line feed, zero-width spaces, marks of
/// direction, byte-order marks within a text, fillers for objects.
///
/// The joiners stay, which Persian, the scripts of India and emoji are written with.
enum ControlCharacters {
  /// The text without them, form feeds and Unicode's line separators as line feeds; nil where there are none.
  static func removed(from text: UnsafeRawBufferPointer) -> (text: [UInt8], count: Int)? {
    guard let first = text.indices.first(where: { length(text, at: $0) > 0 }) else { return nil }
    var result = Array(text[..<first])
    result.reserveCapacity(text.count)
    var count = 0
    var place = first
    while place < text.count {
      let length = length(text, at: place)
      if length == 0 {
        result.append(text[place])
        place += 1
        continue
      }
      count += 1
      if isLineEnd(text, at: place) { result.append(UInt8(ascii: "\n")) }
      place += length
    }
    return (result, count)
  }

  /// How many bytes such a character at a place has; 0 where there is none.
  @inline(__always)
  private static func length(_ text: UnsafeRawBufferPointer, at place: Int) -> Int {
    let byte = text[place]
    if byte < 0x20 { return byte == 0x09 || byte == 0x0A ? 0 : 1 }
    if byte < 0x7F { return 0 }
    return wideLength(text, at: place)
  }

  private static func wideLength(_ text: UnsafeRawBufferPointer, at place: Int) -> Int {
    switch text[place] {
    case 0x7F: return 1
    case 0xC2 where place + 1 < text.count && text[place + 1] < 0xA0: return 2
    case 0xE2 where place + 2 < text.count && text[place + 1] == 0x80:
      switch text[place + 2] {
      // U+200B; U+200E, U+200F; U+2028…U+202E
      case 0x8B, 0x8E, 0x8F, 0xA8...0xAE: return 3
      default: return 0
      }
    case 0xE2 where place + 2 < text.count && text[place + 1] == 0x81:
      // U+2060…U+206F
      return text[place + 2] >= 0xA0 && text[place + 2] <= 0xAF ? 3 : 0
    case 0xEF where place + 2 < text.count:
      // U+FEFF; U+FFF9…U+FFFC
      let (second, third) = (text[place + 1], text[place + 2])
      return second == 0xBB && third == 0xBF || second == 0xBF && (0xB9...0xBC).contains(third) ? 3 : 0
    default: return 0
    }
  }

  private static func isLineEnd(_ text: UnsafeRawBufferPointer, at place: Int) -> Bool {
    if text[place] == 0x0C || text[place] == 0x0B { return true }
    // U+0085; U+2028, U+2029
    if text[place] == 0xC2 { return text[place + 1] == 0x85 }
    return text[place] == 0xE2 && text[place + 1] == 0x80 && (text[place + 2] == 0xA8 || text[place + 2] == 0xA9)
  }
}
