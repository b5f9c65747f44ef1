/// The rules of the Colossal Clean Crawled Corpus, for pages of prose.
///
/// Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", arXiv:1910.10683,
/// section 2.2; without its list of words. In scripts without spaces each character counts as a word, and 。！？ end sentences.
enum C4Rules {
  private static let fewestWords = 5
  private static let fewestSentences = 3

  static func failed(_ text: UnsafeRawBufferPointer) -> DropRule? {
    if text.contains(UInt8(ascii: "{")) { return .c4Braces }
    return PhraseFinder.placeholder.finds(in: text) ? .c4Placeholder : nil
  }

  /// Only the lines that are whole sentences: that end as one, have at least five words, and don't ask for JavaScript or
  /// tell of cookies.
  ///
  /// - Returns: nil where fewer than three sentences are left.
  static func sentences(of text: UnsafeRawBufferPointer, _ lines: DocumentLines) -> [UInt8]? {
    var result: [UInt8] = []
    var sentences = 0
    for line in lines.lines where !line.isEmpty {
      let bytes = UnsafeRawBufferPointer(rebasing: text[line])
      guard endsSentence(bytes), hasWords(bytes), !PhraseFinder.notices.finds(in: bytes) else { continue }
      result.append(contentsOf: bytes)
      result.append(UInt8(ascii: "\n"))
      sentences += count(of: bytes)
    }
    return sentences >= fewestSentences ? result : nil
  }

  private static let ends: [[UInt8]] = [".", "!", "?", "\"", "”", "。", "！", "？", "」", "』", "…"].map { Array($0.utf8) }

  private static func endsSentence(_ line: UnsafeRawBufferPointer) -> Bool {
    ends.contains { end in line.count >= end.count && line.suffix(end.count).elementsEqual(end) }
  }

  private static func hasWords(_ line: UnsafeRawBufferPointer) -> Bool {
    var (words, isIn, place) = (0, false, 0)
    while place < line.count, words < fewestWords {
      let byte = line[place]
      if byte < 0x80 {
        let isSpace = byte == 0x20 || byte == 0x09
        if !isSpace, !isIn { words += 1 }
        isIn = !isSpace
        place += 1
      } else {
        let (scalar, width) = DocumentWords.scalar(line, at: place)
        if DocumentWords.isUnspaced(scalar) {
          words += 1
          isIn = false
        } else if !isIn {
          words += 1
          isIn = true
        }
        place += width
      }
    }
    return words >= fewestWords
  }

  /// Places where a sentence ends: a mark before white space or the end, or an ideographic one.
  private static func count(of line: UnsafeRawBufferPointer) -> Int {
    var count = 0
    for place in line.indices {
      switch line[place] {
      case UInt8(ascii: "."), UInt8(ascii: "!"), UInt8(ascii: "?"):
        if place + 1 == line.count || [0x20, 0x22, 0x27, 0x29, 0xE2].contains(line[place + 1]) { count += 1 }
      case 0xE3 where place + 2 < line.count && line[place + 1] == 0x80 && line[place + 2] == 0x82: count += 1
      case 0xEF
      where place + 2 < line.count && line[place + 1] == 0xBC && (line[place + 2] == 0x81 || line[place + 2] == 0x9F):
        count += 1
      default: break
      }
    }
    // The line itself ends as a sentence, if only by a quotation mark.
    return max(count, 1)
  }
}
