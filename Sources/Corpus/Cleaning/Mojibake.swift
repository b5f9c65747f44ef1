/// Repairs text that was UTF-8, was taken for Windows-1252 or Latin-1, and was written as UTF-8 again: "Ã©" was "é", "â€™" was
/// "’". Also twice over.
enum Mojibake {
  /// The text as it was; nil where nothing looks like it.
  static func repaired(_ text: UnsafeRawBufferPointer) -> (text: [UInt8], count: Int)? {
    var result: (text: [UInt8], count: Int)?
    for _ in 0..<3 {
      let next = result.map { known in known.text.withUnsafeBytes { once($0) } } ?? once(text)
      guard let next else { return result }
      result = (next.text, next.count + (result?.count ?? 0))
    }
    return result
  }

  private static func once(_ text: UnsafeRawBufferPointer) -> (text: [UInt8], count: Int)? {
    guard var place = text.firstIndex(where: { $0 >= 0xC3 }) else { return nil }
    var result = Array(text[..<place])
    var count = 0
    var evidence = 0
    while place < text.count {
      if text[place] >= 0xC3, let found = sequence(text, at: place) {
        result.append(contentsOf: found.bytes)
        place = found.end
        count += 1
        // Two such characters may stand side by side by chance, three don't.
        evidence += found.bytes.count - 1
      } else {
        result.append(text[place])
        place += 1
      }
    }
    return evidence >= 2 ? (result, count) : nil
  }

  /// The character whose bytes the characters from a place on are, as Windows-1252 shows them.
  private static func sequence(_ text: UnsafeRawBufferPointer, at place: Int) -> (bytes: [UInt8], end: Int)? {
    guard let lead = byte(text, at: place) else { return nil }
    let length: Int
    switch lead.value {
    case 0xC2...0xDF: length = 2
    case 0xE0...0xEF: length = 3
    case 0xF0...0xF4: length = 4
    default: return nil
    }
    var bytes = [lead.value]
    var end = lead.end
    while bytes.count < length {
      guard end < text.count, let next = byte(text, at: end), next.value & 0xC0 == 0x80 else { return nil }
      bytes.append(next.value)
      end = next.end
    }
    let isValid = bytes.withUnsafeBufferPointer { TextCleaner.sequence($0, at: 0).isValid }
    return isValid ? (bytes, end) : nil
  }

  /// The byte that a character stands for in Windows-1252, or, where that has none, in Latin-1.
  private static func byte(_ text: UnsafeRawBufferPointer, at place: Int) -> (value: UInt8, end: Int)? {
    guard text[place] >= 0xC2 else { return nil }
    let (scalar, width) = DocumentWords.scalar(text, at: place)
    if (0x80...0xFF).contains(scalar) { return (UInt8(scalar), place + width) }
    return Windows1252.bytes[scalar].map { ($0, place + width) }
  }
}
