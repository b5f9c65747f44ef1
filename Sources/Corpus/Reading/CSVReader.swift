import Formats

/// The records of separated values (RFC 4180), one after the other: fields may be quoted, quoted ones may hold separators,
/// line ends and doubled quotes.
final class CSVReader {
  struct Record {
    /// Where it begins, from 1.
    let line: Int
    let fields: [[UInt8]]
    /// Nothing stood on the line.
    let isEmptyLine: Bool

    var isBlank: Bool { fields == [[]] }
    var texts: [String] { fields.map { String(decoding: $0, as: UTF8.self) } }
  }

  private let lines: LineReader
  private let path: String
  private let separator: UInt8
  private let isStrict: Bool

  private static let (quote, carriageReturn) = (UInt8(ascii: "\""), UInt8(ascii: "\r"))

  /// - Parameters:
  ///   - isStrict: whether a quote within a field that isn't quoted is an error, or a character like others.
  ///   - linesBefore: how many lines of the file stand before the stream.
  init(
    _ stream: any ByteStream, separator: UInt8 = UInt8(ascii: ","), isStrict: Bool = true, linesBefore: Int = 0
  ) {
    lines = LineReader(stream, linesBefore: linesBefore)
    path = stream.path
    self.separator = separator
    self.isStrict = isStrict
  }

  /// nil at the end.
  ///
  /// - Throws: ``CorpusError/badLine(path:line:problem:)``.
  func next() throws(CorpusError) -> Record? {
    guard let line = try nextLine() else { return nil }
    let number = lines.number
    return Record(line: number, fields: try fields(from: line), isEmptyLine: line.isEmpty)
  }

  private func nextLine() throws(CorpusError) -> [UInt8]? {
    guard var line = try lines.next() else { return nil }
    if line.last == Self.carriageReturn { line.removeLast() }
    return line
  }

  private func fields(from first: [UInt8]) throws(CorpusError) -> [[UInt8]] {
    var line = first
    var fields: [[UInt8]] = []
    var place = 0
    while true {
      if place < line.count, line[place] == Self.quote {
        fields.append(try quoted(&line, &place))
      } else {
        let end = line[place...].firstIndex(of: separator) ?? line.count
        let field = Array(line[place..<end])
        if isStrict, field.contains(Self.quote) {
          throw bad(lines.number, "a quote within a field: quote the whole field and double the quote")
        }
        fields.append(field)
        place = end
      }
      if place == line.count { return fields }
      // The separator; nothing behind it is an empty field.
      place += 1
    }
  }

  /// A field whose quote stands at the place, which is behind its end afterwards, maybe on a later line.
  private func quoted(_ line: inout [UInt8], _ place: inout Int) throws(CorpusError) -> [UInt8] {
    let start = lines.number
    var field: [UInt8] = []
    place += 1
    while true {
      if place == line.count {
        guard field.count <= LineReader.longest, let more = try nextLine() else {
          throw bad(start, "a quoted field is never closed")
        }
        field.append(UInt8(ascii: "\n"))
        line = more
        place = 0
      } else if line[place] != Self.quote {
        field.append(line[place])
        place += 1
      } else if place + 1 < line.count, line[place + 1] == Self.quote {
        field.append(Self.quote)
        place += 2
      } else {
        place += 1
        break
      }
    }
    guard place == line.count || line[place] == separator else {
      let name = separator == UInt8(ascii: "\t") ? "tab" : "comma"
      throw bad(lines.number, "expected a \(name) or the line's end behind a closing quote")
    }
    return field
  }

  private func bad(_ line: Int, _ problem: String) -> CorpusError {
    .badLine(path: path, line: line, problem: problem)
  }
}
