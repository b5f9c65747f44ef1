import Formats

/// The n-grams of the texts of an example, one order after the other; equal ones have equal numbers.
///
/// Numbers come from sorting, so that memory grows with the texts and not with the orders.
struct NGrams {
  private let tokens: [[UInt32]]
  private var order = 1
  /// Of each text, the number of the n-gram that begins at each token.
  private var numbers: [[UInt32]] = []
  private var distinct = 0

  /// Begins with single tokens.
  init(_ tokens: [[UInt32]]) {
    self.tokens = tokens
    number(tokens.map { $0.map { UInt64($0) } })
  }

  /// Goes on to n-grams that are one token longer.
  mutating func lengthen() {
    number(
      zip(tokens, numbers).map { tokens, numbers in
        zip(numbers, tokens.dropFirst(order)).map { UInt64($0) << 32 | UInt64($1) }
      })
    order += 1
  }

  /// How often each n-gram occurs in a text, by its number.
  func counts(of text: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: distinct)
    for number in numbers[text] { counts[Int(number)] += 1 }
    return counts
  }

  private mutating func number(_ keys: [[UInt64]]) {
    let sorted = keys.joined().sorted()
    var different: [UInt64] = []
    for key in sorted where key != different.last { different.append(key) }
    numbers = keys.map { $0.map { key in UInt32(different.partitionPoint { $0 < key }) } }
    distinct = different.count
  }

  /// Occurrences that two texts share: Σ min.
  static func matches(_ a: [Int], _ b: [Int]) -> Int { zip(a, b).reduce(0) { $0 + min($1.0, $1.1) } }
}

/// Numbers words in the order in which they come.
struct WordNumbers {
  private var numbers: [ArraySlice<Unicode.Scalar>: UInt32] = [:]

  mutating func numbers(of words: [ArraySlice<Unicode.Scalar>]) -> [UInt32] {
    words.map { word in
      if let number = numbers[word] { return number }
      let number = UInt32(truncatingIfNeeded: numbers.count)
      numbers[word] = number
      return number
    }
  }
}
