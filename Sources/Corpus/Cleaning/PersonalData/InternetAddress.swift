/// Addresses of machines, IPv4 and IPv6; those that mean no machine (loopback, masks) stay.
enum InternetAddress {
  /// - Parameter groups: of the digits at the place; nil where a letter stands there.
  static func find(
    in text: UnsafeRawBufferPointer, _ groups: DigitGroups?, at place: Int
  ) -> PersonalData.Match? {
    groups.flatMap { fourth(in: text, $0, at: place) } ?? sixth(in: text, at: place)
  }

  private static func fourth(
    in text: UnsafeRawBufferPointer, _ groups: DigitGroups, at place: Int
  ) -> PersonalData.Match? {
    // A number with more points is a version or a chapter.
    if place > 0, text[place - 1] == UInt8(ascii: ".") { return nil }
    guard groups.groups.count >= 4, groups.areSeparated(4, by: "."), groups.ends(behind: 4) else { return nil }
    let numbers = groups.groups.prefix(4).compactMap { group -> Int? in
      let digits = text[group.range]
      // No number of an address begins with a zero.
      guard digits.count <= 3, digits.count == 1 || digits.first != 0x30 else { return nil }
      return digits.reduce(0) { $0 * 10 + Int($1) - 0x30 }
    }
    guard numbers.count == 4, numbers.allSatisfy({ $0 < 256 }), ![0, 127, 255].contains(numbers[0]) else { return nil }
    if NumberContext.precedes(place, in: text, NumberContext.book) { return nil }
    return PersonalData.Match(kind: .ipAddress, range: place..<groups.groups[3].range.upperBound)
  }

  private static func sixth(in text: UnsafeRawBufferPointer, at place: Int) -> PersonalData.Match? {
    if place > 0, text[place - 1] == UInt8(ascii: ":") { return nil }
    var end = place
    var (groups, length, gaps, digits, long) = (0, 0, 0, 0, 0)
    while end < text.count {
      let byte = text[end]
      if PersonalData.isDigit(byte) || (byte | 0x20) &- 0x61 < 6 {
        length += 1
        if PersonalData.isDigit(byte) { digits += 1 }
        guard length <= 4 else { return nil }
        if length == 1 { groups += 1 }
        if length == 3 { long += 1 }
      } else if byte == UInt8(ascii: ":") {
        if length == 0 { gaps += 1 }
        length = 0
      } else {
        break
      }
      end += 1
    }
    if end > place, text[end - 1] == UInt8(ascii: ":"), !(end > place + 1 && text[end - 2] == UInt8(ascii: ":")) {
      end -= 1
    }
    guard end == text.count || !PersonalData.isWordByte(text[end]), gaps <= 1, digits > 0 else { return nil }
    // Short ones with a gap are names of code as often as addresses.
    guard groups == 8 && gaps == 0 || gaps == 1 && groups <= 7 && long >= 2 else { return nil }
    return PersonalData.Match(kind: .ipAddress, range: place..<end)
  }
}
