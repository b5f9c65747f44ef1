/// The lines of a document as ranges of its bytes, without their ends and the white space around them; blank ones too.
struct DocumentLines {
  private(set) var lines: [Range<Int>] = []

  mutating func find(in text: UnsafeRawBufferPointer) {
    lines.removeAll(keepingCapacity: true)
    var start = 0
    for place in 0...text.count where place == text.count || text[place] == UInt8(ascii: "\n") {
      lines.append(Self.trimmed(start..<place, of: text))
      start = place + 1
    }
  }

  /// Runs of lines between blank ones, as ranges of bytes.
  func forEachParagraph(_ body: (Range<Int>) -> Void) {
    var paragraph: Range<Int>?
    for line in lines {
      if !line.isEmpty {
        paragraph = (paragraph?.lowerBound ?? line.lowerBound)..<line.upperBound
      } else if let done = paragraph {
        body(done)
        paragraph = nil
      }
    }
    if let paragraph { body(paragraph) }
  }

  /// Without spaces and tabs at both ends, ideographic ones too.
  private static func trimmed(_ range: Range<Int>, of text: UnsafeRawBufferPointer) -> Range<Int> {
    var (start, end) = (range.lowerBound, range.upperBound)
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
    func isWideSpace(_ place: Int) -> Bool { text[place] == 0xE3 && text[place + 1] == 0x80 && text[place + 2] == 0x80 }
    while start < end {
      if isSpace(text[start]) { start += 1 } else if end - start >= 3, isWideSpace(start) { start += 3 } else { break }
    }
    while end > start {
      if isSpace(text[end - 1]) { end -= 1 } else if end - start >= 3, isWideSpace(end - 3) { end -= 3 } else { break }
    }
    return start..<end
  }
}
