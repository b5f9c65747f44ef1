/// A text in clean UTF-8, and what had to be done for that.
package struct CleanText {
  package var bytes: [UInt8]
  /// Byte sequences that were no UTF-8; each became one U+FFFD.
  package var invalidSequences = 0
  package var changedLineEnds = false
  package var hadByteOrderMark = false
}

/// Makes text uniform: UTF-8 without a byte-order mark, lines that end in LF, U+FFFD for what isn't UTF-8.
package enum TextCleaner {
  /// Bytes that are clean already are handed back as they are.
  package static func clean(_ bytes: [UInt8]) -> CleanText {
    var result = CleanText(bytes: [])
    var start = 0
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      result.hadByteOrderMark = true
      start = 3
    }
    bytes.withUnsafeBufferPointer { source in
      var place = start
      // What lies between `copied` and `place` is clean.
      var copied = start
      while true {
        place = skipClean(source, from: place)
        if place == source.count {
          if copied == 0 { return }
          result.bytes.append(contentsOf: source[copied...])
          return
        }
        if result.bytes.isEmpty { result.bytes.reserveCapacity(source.count + 16) }
        result.bytes.append(contentsOf: source[copied..<place])
        if source[place] == carriageReturn {
          result.changedLineEnds = true
          result.bytes.append(lineFeed)
          place += place + 1 < source.count && source[place + 1] == lineFeed ? 2 : 1
        } else {
          result.invalidSequences += 1
          result.bytes.append(contentsOf: [0xEF, 0xBF, 0xBD])
          place += sequence(source, at: place).length
        }
        copied = place
      }
    }
    if start == 0, result.invalidSequences == 0, !result.changedLineEnds { result.bytes = bytes }
    return result
  }

  /// Whether there is nothing to see: no characters, or only white space.
  package static func isBlank(_ bytes: [UInt8]) -> Bool {
    guard let first = bytes.firstIndex(where: { $0 > 0x20 }) else {
      return bytes.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) }
    }
    if bytes[first] < 0x7F { return false }
    return String(decoding: bytes, as: UTF8.self).unicodeScalars.allSatisfy {
      $0.properties.isWhitespace || $0 == "\u{FEFF}"
    }
  }

  /// The first place, from `start` on, of a carriage return or of bytes that are no UTF-8; else the end.
  private static func skipClean(_ source: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    let raw = UnsafeRawBufferPointer(source)
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    var place = start
    while place < source.count {
      // Eight characters at a time, as long as they are ASCII without carriage returns.
      while place + 8 <= source.count {
        let word = raw.loadUnaligned(fromByteOffset: place, as: UInt64.self)
        let returns = word ^ (ones &* UInt64(carriageReturn))
        if word & highs != 0 || (returns &- ones) & ~returns & highs != 0 { break }
        place += 8
      }
      guard place < source.count else { break }
      let byte = source[place]
      if byte == carriageReturn { return place }
      if byte < 0x80 {
        place += 1
      } else {
        let (length, isValid) = sequence(source, at: place)
        if !isValid { return place }
        place += length
      }
    }
    return place
  }

  /// The UTF-8 sequence of several bytes at a place; of an invalid one, how many bytes one U+FFFD stands for (as the
  /// Unicode standard recommends in section 3.9: as far as it could have been the start of a valid one).
  static func sequence(
    _ source: UnsafeBufferPointer<UInt8>, at place: Int
  ) -> (length: Int, isValid: Bool) {
    let lead = source[place]
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: length = 3
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    case 0xF1...0xF3: length = 4
    default: return (1, false)
    }
    for index in 1..<length {
      let allowed = index == 1 ? second : 0x80...0xBF
      guard place + index < source.count, allowed.contains(source[place + index]) else { return (index, false) }
    }
    return (length, true)
  }
}

private let carriageReturn = UInt8(ascii: "\r")
private let lineFeed = UInt8(ascii: "\n")
