/// The quality rules of Gopher's training data, with their published thresholds.
///
/// Where most of a text is written without spaces (Chinese, Japanese, Thai, …), each such character counts as a word, the
/// rule for the length of words says nothing and is left out, and the common words are single characters.
///
/// Rae et al., "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", arXiv:2112.11446, section A.1.1.
enum GopherRules {
  static func failed(
    _ text: UnsafeRawBufferPointer, _ words: DocumentWords, _ lines: DocumentLines
  ) -> DropRule? {
    guard (50...100_000).contains(words.pieces) else { return .gopherWords }
    let pieces = Double(words.pieces)
    if !words.isUnspaced {
      let length = Double(words.pieceCharacters) / pieces
      guard (3...10).contains(length) else { return .gopherWordLength }
    }
    if Double(words.symbols) > 0.1 * pieces { return .gopherSymbols }
    if Double(words.piecesWithLetter) < 0.8 * pieces { return .gopherLetters }

    var (count, bullets, ellipses) = (0, 0, 0)
    for line in lines.lines where !line.isEmpty {
      count += 1
      if startsWithBullet(text, line) { bullets += 1 }
      if endsWithEllipsis(text, line) { ellipses += 1 }
    }
    if Double(bullets) > 0.9 * Double(count) { return .gopherBullets }
    if Double(ellipses) > 0.3 * Double(count) { return .gopherEllipses }
    return hasStopWords(words) ? nil : .gopherStopWords
  }

  private static func startsWithBullet(_ text: UnsafeRawBufferPointer, _ line: Range<Int>) -> Bool {
    switch text[line.lowerBound] {
    case UInt8(ascii: "-"), UInt8(ascii: "*"): return true
    case 0xE2, 0xC2:
      // • ‣ ▪ ● ◦ ·
      return (["•", "‣", "▪", "●", "◦", "·"] as [StaticString]).contains { text[line].has($0, at: line.lowerBound) }
    default: return false
    }
  }

  private static func endsWithEllipsis(_ text: UnsafeRawBufferPointer, _ line: Range<Int>) -> Bool {
    guard line.count >= 3 else { return false }
    return text.has("...", at: line.upperBound - 3) || text.has("…", at: line.upperBound - 3)
  }

  /// At least two different ones of the eight.
  private static func hasStopWords(_ words: DocumentWords) -> Bool {
    let wanted = words.isUnspaced ? chineseWords : englishWords
    var found: UInt64?
    for word in words.words where wanted.contains(word.hash) {
      if let before = found, before != word.hash { return true }
      found = word.hash
    }
    return false
  }

  private static let englishWords = hashes(["the", "be", "to", "of", "and", "that", "have", "with"])
  private static let chineseWords = hashes([
    "的", "是", "不", "了", "在", "和", "有", "我", "の", "に", "は", "を", "が", "で", "と",
  ])

  private static func hashes(_ words: [String]) -> Set<UInt64> {
    Set(words.map { word in word.unicodeScalars.reduce(UInt64(0)) { DocumentWords.mixed($0, $1.value) } })
  }
}
