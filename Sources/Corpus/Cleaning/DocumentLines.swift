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

  /// The text in which they were found without some of them; the white space at the ends of the others stays.
  ///
  /// - Parameter dropped: numbers of lines, ascending.
  func without(_ dropped: [Int], of text: UnsafeRawBufferPointer) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var next = dropped[...]
    for index in lines.indices {
      if next.first == index {
        next = next.dropFirst()
        continue
      }
      let start = index == 0 ? 0 : (text[..<lines[index].lowerBound].lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
      let end = text[lines[index].upperBound...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
      result.append(contentsOf: text[start..<end])
      if end < text.count { result.append(UInt8(ascii: "\n")) }
    }
    return result
  }

  /// Runs of lines between blank ones, by the numbers of the lines.
  func forEachParagraph(_ body: (Range<Int>) -> Void) {
    var start = 0
    for index in lines.indices where lines[index].isEmpty {
      if start < index { body(start..<index) }
      start = index + 1
    }
    if start < lines.count { body(start..<lines.count) }
  }

  /// From the first of some lines to the end of the last, as bytes.
  func bytes(of some: Range<Int>) -> Range<Int> {
    lines[some.lowerBound].lowerBound..<lines[some.upperBound - 1].upperBound
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
