/// Numbers of payment cards: those that are given out, with Luhn's check digit (ISO/IEC 7812-1, annex B).
enum CardNumber {
  static func find(
    in text: UnsafeRawBufferPointer, _ groups: DigitGroups, at place: Int
  ) -> PersonalData.Match? {
    for count in stride(from: groups.groups.count, to: 0, by: -1)
    where groups.have(13...19, in: count) && groups.ends(behind: count) && isGrouped(groups, count) {
      let digits = groups.digits(count)
      guard isGivenOut(digits), luhn(digits) else { continue }
      if NumberContext.precedes(place, in: text, NumberContext.book) { return nil }
      return PersonalData.Match(kind: .card, range: place..<groups.groups[count - 1].range.upperBound)
    }
    return nil
  }

  /// Together, in fours, or as American Express and Diners write them.
  private static func isGrouped(_ groups: DigitGroups, _ count: Int) -> Bool {
    if count == 1 { return true }
    guard groups.areSeparated(count, by: " -") else { return false }
    let lengths = groups.lengths(count)
    return lengths.dropLast().allSatisfy { $0 == 4 } && (1...4).contains(lengths[count - 1])
      || lengths == [4, 6, 5] || lengths == [4, 6, 4] || lengths == [6, 13]
  }

  /// By the numbers that networks give out: UnionPay, Visa, Mastercard, American Express, Diners, JCB, Discover, Maestro, Mir.
  private static func isGivenOut(_ digits: [Int]) -> Bool {
    let four = digits.prefix(4).reduce(0) { $0 * 10 + $1 }
    switch digits.count {
    case 14: return (3000...3059).contains(four) || [36, 38, 39].contains(four / 100)
    case 15: return four / 100 == 34 || four / 100 == 37
    case 13: return digits[0] == 4
    default:
      return digits[0] == 4 || (51...55).contains(four / 100) || (2200...2204).contains(four)
        || (2221...2720).contains(four)
        || (3528...3589).contains(four) || four == 6011 || (62...65).contains(four / 100)
        || [50, 56, 57, 58, 67].contains(four / 100)
        || [6304, 6759, 6761, 6762, 6763].contains(four)
    }
  }

  static func luhn(_ digits: [Int]) -> Bool {
    var sum = 0
    for (index, digit) in digits.reversed().enumerated() {
      let value = index % 2 == 0 ? digit : digit * 2
      sum += value > 9 ? value - 9 : value
    }
    return sum % 10 == 0
  }
}
