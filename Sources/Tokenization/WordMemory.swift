/// Words that were met, with their tokens; all are forgotten when there is no more room.
struct WordMemory {
  private static let longestWord = 64
  private static let tokenCapacity = 1 << 20
  private static let wordCapacity = 1 << 18

  private var words = TokenTable(capacity: 1 << 10)
  /// Where the tokens of each word are.
  private var ranges: [Range<Int>] = []
  private var tokens: [Int32] = []

  /// Appends the tokens of a word, made the first time that it is met.
  @inline(__always)
  mutating func append(
    _ word: UnsafeRawBufferPointer, to ids: inout [Int32], making make: (inout [Int32]) -> Void
  ) {
    guard word.count <= Self.longestWord else { return make(&ids) }
    if let entry = words.id(of: word) {
      ids.append(contentsOf: tokens[ranges[Int(entry)]])
      return
    }
    let start = ids.count
    make(&ids)
    if tokens.count + ids.count - start > Self.tokenCapacity || ranges.count == Self.wordCapacity {
      self = WordMemory()
    }
    words.insert(word, id: Int32(ranges.count))
    ranges.append(tokens.count..<tokens.count + ids.count - start)
    tokens.append(contentsOf: ids[start...])
  }
}
