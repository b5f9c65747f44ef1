import Formats

/// A document as it stands in a file, before anything is done to it.
struct RawDocument {
  enum Form {
    case text, html
    /// A line of .jsonl with its number, of which one field is the text.
    case jsonLine(Int)
  }

  var bytes: [UInt8]
  var form: Form
}

/// Documents of a file, one after the other.
protocol DocumentSource: AnyObject {
  /// nil at the end.
  func next() throws(CorpusError) -> RawDocument?
}

/// A file that is one document: or, where it is long, several, cut between lines.
final class WholeTextSource: DocumentSource {
  private let stream: any ByteStream
  private let form: RawDocument.Form
  private let isCut: Bool
  private var rest: [UInt8] = []
  private var isOver = false
  private var isFirst = true

  /// What is longer is cut: a document passes through memory several times, and a hundred books are no document.
  static let longest = 4 << 20
  /// HTML isn't cut: a page of more than this is no page.
  private static let longestPage = 256 << 20

  init(_ stream: any ByteStream, form: RawDocument.Form) {
    self.stream = stream
    self.form = form
    if case .text = form { isCut = true } else { isCut = false }
  }

  func next() throws(CorpusError) -> RawDocument? {
    let limit = isCut ? Self.longest : Self.longestPage
    try fill(to: limit)
    // An empty file is an empty document.
    guard isFirst || !rest.isEmpty else { return nil }
    isFirst = false
    if rest.count < limit {
      defer { rest = [] }
      return RawDocument(bytes: rest, form: form)
    }
    guard isCut else {
      throw .file(.content(path: stream.path, problem: "more than \(limit >> 20) MiB of HTML; split it"))
    }
    let end = Self.cut(rest)
    defer { rest = Array(rest[end...]) }
    return RawDocument(bytes: Array(rest[..<end]), form: form)
  }

  private func fill(to limit: Int) throws(CorpusError) {
    while !isOver, rest.count < limit {
      let start = rest.count
      let some = min(1 << 20, limit - start)
      rest.append(contentsOf: repeatElement(0, count: some))
      let stream = stream
      let count = try rest.lendMutableBytes { buffer throws(CorpusError) in
        try withFiles(try stream.readFully(into: UnsafeMutableRawBufferPointer(rebasing: buffer[start...])))
      }
      rest.removeLast(some - count)
      isOver = count < some
    }
  }

  /// Behind the last empty line of the second half, else the last line, else the last character.
  private static func cut(_ bytes: [UInt8]) -> Int {
    let half = bytes.count / 2
    let lineFeed = UInt8(ascii: "\n")
    var line: Int?
    for place in stride(from: bytes.count - 1, to: half, by: -1) where bytes[place] == lineFeed {
      if bytes[place - 1] == lineFeed { return place + 1 }
      if line == nil { line = place + 1 }
      // Paragraphs that long are rare: looking for one from end to end is not worth it.
      if let line, line - place > 1 << 20 { break }
    }
    if let line { return line }
    var place = bytes.count - 1
    while place > half, bytes[place] & 0xC0 == 0x80 { place -= 1 }
    return place
  }
}

/// A file with a document on each line.
final class LineSource: DocumentSource {
  private let lines: LineReader

  init(_ stream: any ByteStream) { lines = LineReader(stream) }

  func next() throws(CorpusError) -> RawDocument? {
    guard let line = try lines.next() else { return nil }
    return RawDocument(bytes: line, form: .jsonLine(lines.number))
  }
}

/// The lines of a stream without their ends.
final class LineReader {
  private let stream: any ByteStream
  private var block: [UInt8]
  private var pending = 0..<0
  private var isOver = false
  /// Of the line that was read last, from 1.
  private(set) var number: Int

  /// A longer line is damage, or a file of another kind.
  static let longest = 1 << 30

  /// - Parameter linesBefore: how many lines of the file stand before the stream.
  init(_ stream: any ByteStream, linesBefore: Int = 0) {
    self.stream = stream
    number = linesBefore
    block = Array(repeating: 0, count: 1 << 18)
  }

  func next() throws(CorpusError) -> [UInt8]? {
    var line: [UInt8] = []
    while true {
      if let end = block[pending].firstIndex(of: UInt8(ascii: "\n")) {
        line.append(contentsOf: block[pending.lowerBound..<end])
        pending = end + 1..<pending.upperBound
        number += 1
        return line
      }
      line.append(contentsOf: block[pending])
      pending = 0..<0
      guard line.count <= Self.longest else {
        throw .badLine(path: stream.path, line: number + 1, problem: "is longer than \(Self.longest >> 20) MiB")
      }
      if !isOver {
        let stream = stream
        let count = try block.lendMutableBytes { buffer throws(CorpusError) in
          try withFiles(try stream.read(into: buffer))
        }
        pending = 0..<count
        isOver = count == 0
      }
      if isOver {
        guard !line.isEmpty else { return nil }
        number += 1
        return line
      }
    }
  }
}
