/// Numbers that states give to persons. Those with check digits must have the right ones; those without must be written as
/// they are on paper.
enum IdentityNumber {
  /// - Parameter groups: of the digits at the place; nil where a letter stands there.
  static func find(
    in text: UnsafeRawBufferPointer, _ groups: DigitGroups?, at place: Int
  ) -> PersonalData.Match? {
    guard let end = groups.map({ digitsEnd(text, $0) }) ?? letterEnd(text, place) else { return nil }
    return PersonalData.Match(kind: .identityNumber, range: place..<end)
  }

  // MARK: Digits first

  private static func digitsEnd(_ text: UnsafeRawBufferPointer, _ groups: DigitGroups) -> Int? {
    if let end = chinese(text, groups) ?? spanish(text, groups) { return end }
    for count in stride(from: min(groups.groups.count, 7), to: 0, by: -1)
    where groups.have(9...15, in: count) && groups.ends(behind: count) {
      // A number that goes on in the same way is another one.
      if count > 1, count < groups.groups.count,
        groups.groups[count].separator.elementsEqual(groups.groups[1].separator)
      {
        continue
      }
      let number = Number(text: text, groups: groups, count: count)
      if isKnown(number) { return number.end }
    }
    return nil
  }

  private struct Number {
    let text: UnsafeRawBufferPointer
    let digits: [Int]
    let lengths: [Int]
    /// The separators between groups, as one text.
    let separators: String
    let start: Int
    let end: Int

    init(text: UnsafeRawBufferPointer, groups: DigitGroups, count: Int) {
      self.text = text
      digits = groups.digits(count)
      lengths = groups.lengths(count)
      separators = groups.groups.prefix(count).dropFirst().map { String(decoding: $0.separator, as: UTF8.self) }
        .joined()
      start = groups.groups[0].range.lowerBound
      end = groups.groups[count - 1].range.upperBound
    }

    var isNamed: Bool { NumberContext.precedes(start, in: text, NumberContext.identity) }

    func value(_ range: Range<Int>) -> Int { digits[range].reduce(0) { $0 * 10 + $1 } }
  }

  private static func isKnown(_ number: Number) -> Bool {
    switch (number.lengths, number.separators) {
    // The United States: social security.
    case ([3, 2, 4], "--"), ([3, 2, 4], "  "): return isSocialSecurity(number)
    // Brazil.
    case ([3, 3, 3, 2], "..-"): return true
    case ([11], "") where isCPF(number.digits): return true
    // Korea.
    case ([6, 7], "-"): return isDate(number.value(2..<4), number.value(4..<6)) && (1...8).contains(number.digits[6])
    // Sweden.
    case ([6, 4], "-"), ([8, 4], "-"):
      return isDate(number.value(number.lengths[0] - 4..<number.lengths[0] - 2), nil)
        && CardNumber.luhn(Array(number.digits.suffix(10)))
    default: break
    }
    switch number.digits.count {
    case 15: return isFrench(number)
    case 13 where number.lengths == [13] || number.lengths == [6, 4, 3]: return isSouthAfrican(number)
    case 12 where number.lengths == [12] || number.lengths == [4, 4, 4]:
      // One check digit alone is right for every tenth number.
      let isGrouped = number.lengths.count == 3 && number.separators != ".."
      return (isGrouped || number.isNamed) && (isAadhaar(number.digits) || isMyNumber(number.digits))
    case 11 where number.lengths == [11] || number.lengths == [2, 3, 3, 3]:
      return isGerman(number.digits) || number.lengths.count == 1 && isPESEL(number)
    case 9: return number.isNamed && isBSN(number.digits)
    default: return false
    }
  }

  /// China: region, date of birth, sequence, and a check by ISO 7064, MOD 11-2, that may be an X (GB 11643).
  private static func chinese(_ text: UnsafeRawBufferPointer, _ groups: DigitGroups) -> Int? {
    guard let first = groups.groups.first, first.separator.isEmpty else { return nil }
    let start = first.range.lowerBound
    guard first.range.count == 18 || first.range.count == 17, start + 18 <= text.count else { return nil }
    let last = text[start + 17]
    guard PersonalData.isDigit(last) || last | 0x20 == UInt8(ascii: "x") else { return nil }
    guard start + 18 == text.count || !PersonalData.isWordByte(text[start + 18]) else { return nil }
    let digits = text[start..<start + 17].map { Int($0) - 0x30 }
    func value(_ range: Range<Int>) -> Int { digits[range].reduce(0) { $0 * 10 + $1 } }
    guard (11...91).contains(value(0..<2)), (1900...2099).contains(value(6..<10)),
      isDate(value(10..<12), value(12..<14))
    else { return nil }
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    let check = Array("10X98765432".utf8)[zip(digits, weights).reduce(0) { $0 + $1.0 * $1.1 } % 11]
    let upper = PersonalData.isDigit(last) ? last : last & ~0x20
    return check == upper ? start + 18 : nil
  }

  /// Spain's DNI: eight digits and a letter by the remainder on division by 23.
  private static func spanish(_ text: UnsafeRawBufferPointer, _ groups: DigitGroups) -> Int? {
    guard let first = groups.groups.first, first.range.count == 8 else { return nil }
    var place = first.range.upperBound
    if place < text.count, text[place] == UInt8(ascii: "-") { place += 1 }
    return controlLetterEnd(text, number: groups.digits(1).reduce(0) { $0 * 10 + $1 }, at: place)
  }

  private static func controlLetterEnd(_ text: UnsafeRawBufferPointer, number: Int, at place: Int) -> Int? {
    guard place < text.count, text[place] == Array("TRWAGMYFPDXBNJZSQVHLCKE".utf8)[number % 23] else { return nil }
    return place + 1 == text.count || !PersonalData.isWordByte(text[place + 1]) ? place + 1 : nil
  }

  private static func isSocialSecurity(_ number: Number) -> Bool {
    let area = number.value(0..<3)
    return area > 0 && area != 666 && area < 900 && number.value(3..<5) > 0 && number.value(5..<9) > 0
  }

  private static func isCPF(_ digits: [Int]) -> Bool {
    guard digits.count == 11, Set(digits).count > 1 else { return false }
    func check(_ count: Int) -> Int {
      let sum = (0..<count).reduce(0) { $0 + digits[$1] * (count + 1 - $1) }
      return sum * 10 % 11 % 10
    }
    return check(9) == digits[9] && check(10) == digits[10]
  }

  /// France: sex, year, month, place and order, and 97 less their remainder.
  private static func isFrench(_ number: Number) -> Bool {
    let digits = number.digits
    guard digits[0] == 1 || digits[0] == 2,
      (1...12).contains(number.value(3..<5)) || (20...42).contains(number.value(3..<5))
    else {
      return false
    }
    return 97 - number.value(0..<13) % 97 == number.value(13..<15)
  }

  private static func isSouthAfrican(_ number: Number) -> Bool {
    isDate(number.value(2..<4), number.value(4..<6)) && number.digits[10] < 2 && CardNumber.luhn(number.digits)
  }

  /// India: Verhoeff's check digit.
  private static func isAadhaar(_ digits: [Int]) -> Bool {
    guard digits.count == 12, digits[0] >= 2 else { return false }
    var check = 0
    for (index, digit) in digits.reversed().enumerated() { check = multiplied(check, permuted(digit, index % 8)) }
    return check == 0
  }

  /// In the dihedral group of ten elements.
  private static func multiplied(_ a: Int, _ b: Int) -> Int {
    // Five turns, and five turns of the mirror image.
    let turns = a < 5 ? a + b % 5 : a - b % 5
    return (turns + 5) % 5 + ((a < 5) == (b < 5) ? 0 : 5)
  }

  private static func permuted(_ digit: Int, _ times: Int) -> Int {
    let permutation = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    return (0..<times).reduce(digit) { digit, _ in permutation[digit] }
  }

  /// Japan.
  private static func isMyNumber(_ digits: [Int]) -> Bool {
    guard digits.count == 12 else { return false }
    var sum = 0
    for place in 1...11 { sum += digits[11 - place] * (place <= 6 ? place + 1 : place - 5) }
    let check = sum % 11 <= 1 ? 0 : 11 - sum % 11
    return check == digits[11]
  }

  /// Germany's tax number: one digit twice or three times, one or two not at all, and ISO 7064, MOD 11, 10.
  private static func isGerman(_ digits: [Int]) -> Bool {
    guard digits.count == 11, digits[0] > 0 else { return false }
    let counts = Dictionary(grouping: digits.prefix(10), by: \.self).values.map(\.count)
    guard counts.max() ?? 0 <= 3, (8...9).contains(counts.count) else { return false }
    var product = 10
    for digit in digits.prefix(10) {
      let sum = (digit + product) % 10
      product = (sum == 0 ? 10 : sum) * 2 % 11
    }
    return (11 - product) % 10 == digits[10]
  }

  /// Poland: a date of birth whose month tells the century, and a check digit.
  private static func isPESEL(_ number: Number) -> Bool {
    guard isDate(number.value(2..<4) % 20, number.value(4..<6)) else { return false }
    let weights = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]
    let sum = zip(number.digits, weights).reduce(0) { $0 + $1.0 * $1.1 }
    return (10 - sum % 10) % 10 == number.digits[10]
  }

  /// The Netherlands.
  private static func isBSN(_ digits: [Int]) -> Bool {
    let sum = (0..<8).reduce(0) { $0 + digits[$1] * (9 - $1) } - digits[8]
    return sum % 11 == 0 && digits.contains { $0 > 0 }
  }

  private static func isDate(_ month: Int, _ day: Int?) -> Bool {
    (1...12).contains(month) && (1...31).contains(day ?? 1)
  }

  // MARK: Letters first

  private static func letterEnd(_ text: UnsafeRawBufferPointer, _ place: Int) -> Int? {
    guard text[place] &- 0x41 < 26 else { return nil }
    var end = place
    while end < text.count, end - place < 20, PersonalData.isWordByte(text[end]) { end += 1 }
    let word = Array(text[place..<end])
    switch word.count {
    case 9 where "XYZ".utf8.contains(word[0]) && isDigits(word[1..<8]):
      // Spain's NIE: X, Y, Z count as 0, 1, 2.
      return controlLetterEnd(text, number: (Int(word[0]) - 0x58) * 10_000_000 + value(word[1..<8]), at: end - 1)
    case 9 where isDigits(word[2..<8]) && "ABCD".utf8.contains(word[8]): return isNINO(word) ? end : nil
    case 2: return spacedNINO(text, place)
    case 10 where isDigits(word[1...]): return isTaiwanese(word) ? end : nil
    case 16 where isCodiceFiscale(word): return end
    default: return nil
    }
  }

  private static func isDigits(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.allSatisfy { PersonalData.isDigit($0) } }
  private static func value(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 * 10 + Int($1) - 0x30 } }

  /// The United Kingdom: two letters, six digits, a letter.
  private static func isNINO(_ word: [UInt8]) -> Bool {
    let (first, second) = (word[0], word[1])
    guard first &- 0x41 < 26, second &- 0x41 < 26, !"DFIQUV".utf8.contains(first), !"DFIOQUV".utf8.contains(second)
    else { return false }
    return !["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"].contains(String(decoding: [first, second], as: UTF8.self))
  }

  /// AB 12 34 56 C.
  private static func spacedNINO(_ text: UnsafeRawBufferPointer, _ place: Int) -> Int? {
    guard place + 13 <= text.count else { return nil }
    let bytes = Array(text[place..<place + 13])
    guard [2, 5, 8, 11].allSatisfy({ bytes[$0] == 0x20 }) else { return nil }
    let word = bytes.filter { $0 != 0x20 }
    guard word.count == 9, isDigits(word[2..<8]), "ABCD".utf8.contains(word[8]), isNINO(word) else { return nil }
    return place + 13 == text.count || !PersonalData.isWordByte(text[place + 13]) ? place + 13 : nil
  }

  /// Taiwan: the letter is a number of two digits.
  private static func isTaiwanese(_ word: [UInt8]) -> Bool {
    guard word[1] == 0x31 || word[1] == 0x32 || word[1] == 0x38 || word[1] == 0x39,
      let index = Array("ABCDEFGHJKLMNPQRSTUVXYWZIO".utf8).firstIndex(of: word[0])
    else { return false }
    let number = index + 10
    var sum = number / 10 + number % 10 * 9
    for place in 1..<9 { sum += (Int(word[place]) - 0x30) * (9 - place) }
    return (sum + Int(word[9]) - 0x30) % 10 == 0
  }

  /// Italy: letters of the name, date and place of birth, a letter by two tables.
  private static func isCodiceFiscale(_ word: [UInt8]) -> Bool {
    let letters = [0, 1, 2, 3, 4, 5, 8, 11, 15]
    guard letters.allSatisfy({ word[$0] &- 0x41 < 26 }), "ABCDEHLMPRST".utf8.contains(word[8]),
      [6, 7, 9, 10].allSatisfy({ PersonalData.isDigit(word[$0]) || "LMNPQRSTUV".utf8.contains(word[$0]) })
    else { return false }
    let odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
    let sum = word.prefix(15).enumerated().reduce(0) { sum, entry in
      let index = PersonalData.isDigit(entry.element) ? Int(entry.element) - 0x30 : Int(entry.element) - 0x41
      guard (0..<26).contains(index) else { return sum }
      return sum + (entry.offset % 2 == 0 ? odd[index] : index)
    }
    return sum % 26 == Int(word[15]) - 0x41
  }
}
