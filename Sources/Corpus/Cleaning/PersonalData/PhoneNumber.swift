/// Numbers of telephones: international ones, those of countries in the ways that they are written there, and what a word
/// before it calls one.
enum PhoneNumber {
  static func find(
    in text: UnsafeRawBufferPointer, _ groups: DigitGroups, at place: Int
  ) -> PersonalData.Match? {
    // A decimal, a date or a number of another kind goes on before it.
    if place > 0, text[place] != UInt8(ascii: "+"), ".,/$".utf8.contains(text[place - 1]) { return nil }
    guard !groups.groups.isEmpty, isBalanced(groups) else { return nil }
    lazy var isNamed = NumberContext.precedes(place, in: text, NumberContext.phone)
    lazy var isOfBook = NumberContext.precedes(place, in: text, NumberContext.book)
    for count in stride(from: min(groups.groups.count, 7), to: 0, by: -1)
    where groups.ends(behind: count) && isGroupedLikeOne(text, groups, count) {
      if !isNamed, isOfBook { return nil }
      let end = groups.groups[count - 1].range.upperBound
      if isNumber(Candidate(groups, count), isNamed: isNamed) {
        return PersonalData.Match(kind: .phone, range: place..<end)
      }
    }
    return nil
  }

  /// Tells most tables of numbers from telephones, at little cost.
  private static func isGroupedLikeOne(_ text: UnsafeRawBufferPointer, _ groups: DigitGroups, _ count: Int) -> Bool {
    guard groups.have(7...15, in: count) else { return false }
    let start = groups.groups[0].range.lowerBound
    let length = groups.groups[0].range.count
    // A row of groups of one length that goes on behind it is a dump of memory or a table.
    if length > 2, count > 1, count < groups.groups.count,
      groups.groups.prefix(count + 1).allSatisfy({ $0.range.count == length })
    {
      return false
    }
    if groups.groups[0].separator.contains(UInt8(ascii: "+")) || text[start] == UInt8(ascii: "0") { return true }
    return groups.groups.prefix(count).dropFirst().allSatisfy { $0.range.count >= 2 }
  }

  private struct Candidate {
    let digits: [Int]
    let lengths: [Int]
    let hasPlus: Bool
    let hasParentheses: Bool
    /// All that stands between groups.
    let separators: [[UInt8]]

    init(_ groups: DigitGroups, _ count: Int) {
      digits = groups.digits(count)
      lengths = groups.lengths(count)
      separators = groups.groups.prefix(count).dropFirst().map { Array($0.separator) }
      hasPlus = groups.groups[0].separator.contains(UInt8(ascii: "+"))
      hasParentheses = groups.groups.prefix(count).contains { $0.separator.contains(UInt8(ascii: "(")) }
    }

    var isOne: Bool { lengths.count == 1 }
    var hasOnlySpaces: Bool { separators.allSatisfy { $0 == [0x20] } }

    /// The same without so many digits at the start.
    func dropping(_ count: Int) -> (digits: [Int], lengths: [Int]) {
      var lengths = lengths
      var left = count
      while left > 0, let first = lengths.first {
        let some = min(left, first)
        lengths[0] -= some
        left -= some
        if lengths[0] == 0 { lengths.removeFirst() }
      }
      return (Array(digits.dropFirst(count)), lengths)
    }
  }

  private static func isNumber(_ number: Candidate, isNamed: Bool) -> Bool {
    let count = number.digits.count
    if number.hasPlus { return (8...15).contains(count) && number.digits[0] > 0 }
    guard (7...15).contains(count) else { return false }
    // One separator between groups, but where a parenthesis closes or opens.
    guard number.separators.allSatisfy({ $0.count == 1 || $0.contains(0x28) || $0.contains(0x29) }) else {
      return false
    }
    if number.digits.starts(with: [0, 0]), count >= 10, number.digits[2] > 0 {
      // Groups of one length are dumps of memory: 0010 0110 1010.
      return number.isOne ? count >= 12 || isNamed : Set(number.lengths).count > 1
    }
    if isChinese(number.digits, number.lengths) { return true }
    if number.digits.starts(with: [8, 6]) {
      let rest = number.dropping(2)
      if isChinese(rest.digits, rest.lengths) { return true }
    }
    return isAmerican(number) || hasTrunk(number) || isIndian(number) || isBrazilian(number) || isRussian(number)
      || isNamed && isPlausible(number)
  }

  /// Mobile numbers (11 digits from 13 to 19) and those of towns with their code.
  private static func isChinese(_ digits: [Int], _ lengths: [Int]) -> Bool {
    if digits.count == 11, digits[0] == 1, digits[1] >= 3 {
      return lengths == [11] || lengths == [3, 4, 4] || lengths == [3, 8] || lengths == [3, 3, 5]
    }
    guard digits[0] == 0, digits.count >= 10, digits.count <= 12, lengths.count == 2 || lengths.count == 3 else {
      return false
    }
    return (3...4).contains(lengths[0])
      && (lengths.dropFirst() == [7] || lengths.dropFirst() == [8] || lengths.dropFirst() == [4, 4])
  }

  /// North America: area and exchange don't begin with 0 or 1.
  private static func isAmerican(_ number: Candidate) -> Bool {
    var (digits, lengths) = (number.digits, number.lengths)
    if digits.count == 11, digits[0] == 1, lengths[0] == 1 { (digits, lengths) = number.dropping(1) }
    guard digits.count == 10, digits[0] >= 2 else { return false }
    return lengths == [3, 3, 4] && (digits[3] >= 2 || !number.hasOnlySpaces)
      || lengths == [3, 7] && number.hasParentheses
  }

  /// A code that begins with 0, as in most of Europe and Asia.
  private static func hasTrunk(_ number: Candidate) -> Bool {
    guard number.digits[0] == 0, number.digits[1] > 0, (9...12).contains(number.digits.count) else { return false }
    if number.isOne { return (10...11).contains(number.digits.count) }
    // 0.25 and the like, and the short last group of a book's number, are none.
    guard (2...6).contains(number.lengths[0]), number.lengths.dropFirst().allSatisfy({ $0 >= 2 }) else { return false }
    return !(number.lengths.count == 2 && number.separators[0] == [UInt8(ascii: ".")])
  }

  private static func isIndian(_ number: Candidate) -> Bool {
    var (digits, lengths) = (number.digits, number.lengths)
    if digits.count == 12, digits.starts(with: [9, 1]) { (digits, lengths) = number.dropping(2) }
    return digits.count == 10 && digits[0] >= 6 && (lengths == [5, 5] || lengths == [10] || lengths == [4, 6])
  }

  private static func isBrazilian(_ number: Candidate) -> Bool {
    guard number.lengths == [2, 5, 4] && number.digits[2] == 9 || number.lengths == [2, 4, 4] else { return false }
    return number.hasParentheses || number.separators.last == [UInt8(ascii: "-")]
  }

  private static func isRussian(_ number: Candidate) -> Bool {
    number.digits.count == 11 && (number.digits[0] == 8 || number.digits[0] == 7) && number.lengths == [1, 3, 3, 2, 2]
  }

  /// What is named a number and looks like one: at least groups of two, or all together.
  private static func isPlausible(_ number: Candidate) -> Bool {
    number.lengths.allSatisfy { $0 >= 2 } || number.lengths[0] == 1 && number.lengths.dropFirst().allSatisfy { $0 >= 2 }
  }

  /// Whether each parenthesis among the groups is closed.
  private static func isBalanced(_ groups: DigitGroups) -> Bool {
    func count(_ character: Unicode.Scalar) -> Int {
      groups.groups.reduce(0) { $0 + $1.separator.count { $0 == UInt8(ascii: character) } }
    }
    return count("(") == count(")")
  }
}
