/// The characters that byte-level vocabularies write bytes with, as GPT-2 introduced them.
///
/// Printable bytes of Latin-1 stand for themselves; the other 68, in order, are U+0100, U+0101, …: a space is "Ġ".
enum ByteAlphabet {
  /// The character of each byte.
  static let characters: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0...255).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
        return Unicode.Scalar(UInt8(byte))
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? "?"
      }
    }
  }()

  /// The bytes in the order of their characters, in which learners number them.
  static let bytesInOrder: [UInt8] = (UInt8.min...UInt8.max).sorted { characters[Int($0)] < characters[Int($1)] }

  /// The byte of each character below U+0144, else -1.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, character) in characters.enumerated() { bytes[Int(character.value)] = Int16(byte) }
    return bytes
  }()

  static func text(of bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(characters[Int(byte)]) }
    return String(text)
  }

  /// Appends the bytes that a token's text (in UTF-8) stands for; false, and nothing appended, if it has other
  /// characters.
  static func appendBytes(of token: UnsafeBufferPointer<UInt8>, to result: inout [UInt8]) -> Bool {
    let bytes = Self.bytes
    let start = result.count
    var place = 0
    while place < token.count {
      var scalar = Int(token[place])
      place += 1
      // Two bytes of UTF-8 hold all of the alphabet that is not ASCII.
      if scalar >= 0xC2, scalar < 0xE0, place < token.count {
        scalar = (scalar & 0x1F) << 6 | Int(token[place] & 0x3F)
        place += 1
      }
      guard scalar < bytes.count, bytes[scalar] >= 0 else {
        result.removeLast(result.count - start)
        return false
      }
      result.append(UInt8(truncatingIfNeeded: bytes[scalar]))
    }
    return true
  }
}
