/// name@domain, in ASCII.
enum EmailAddress {
  /// - Parameter place: of the @.
  /// - Parameter start: where the text begins that may belong to it.
  static func find(in text: UnsafeRawBufferPointer, at place: Int, from start: Int) -> PersonalData.Match? {
    var first = place
    while first > start, place - first < 64, isNameByte(text[first - 1]) { first -= 1 }
    // A dot doesn't begin a name; a dash may belong to a list.
    while first < place, text[first] == UInt8(ascii: ".") || text[first] == UInt8(ascii: "-") { first += 1 }
    guard first < place, text[place - 1] != UInt8(ascii: ".") else { return nil }

    var end = place + 1
    var lastDot: Int?
    while end < text.count, end - place < 255 {
      let byte = text[end]
      if PersonalData.isDigit(byte) || PersonalData.isLetter(byte) {
        end += 1
      } else if byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-"), end > place + 1, end + 1 < text.count,
        PersonalData.isDigit(text[end + 1]) || PersonalData.isLetter(text[end + 1])
          || text[end + 1] == UInt8(ascii: "-")
      {
        if byte == UInt8(ascii: ".") { lastDot = end }
        end += 1
      } else {
        break
      }
    }
    guard let lastDot, end - lastDot > 2, text[lastDot + 1..<end].allSatisfy({ PersonalData.isLetter($0) }) else {
      return nil
    }
    return PersonalData.Match(kind: .email, range: first..<end)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    PersonalData.isWordByte(byte) || [0x2E, 0x25, 0x2B, 0x2D].contains(byte)
  }
}
