import Formats

/// A column of a table of values that are separated by commas or tabs (RFC 4180), a document in each row.
final class TableSource: DocumentSource {
  private let records: RecordReader
  private let column: Int

  /// - Throws: ``CorpusError/badLine(path:line:problem:)`` where the first line doesn't name the column.
  init(_ stream: any ByteStream, separator: UInt8, column: String) throws(CorpusError) {
    records = RecordReader(stream, separator: separator)
    let names = try records.next()?.map { String(decoding: $0, as: UTF8.self) } ?? []
    guard let index = names.firstIndex(of: column) else {
      throw .badLine(
        path: stream.path, line: 1,
        problem: "has no column \"\(column)\"; its columns are "
          + names.prefix(20).map { "\"\($0.prefix(40))\"" }.joined(separator: ", "))
    }
    self.column = index
  }

  func next() throws(CorpusError) -> RawDocument? {
    guard let fields = try records.next() else { return nil }
    // A short row has no text.
    return RawDocument(bytes: column < fields.count ? fields[column] : [], form: .text)
  }
}

/// The records of such a table: a quoted field may hold separators, line ends and doubled quotes.
private final class RecordReader {
  private let lines: LineReader
  private let path: String
  private let separator: UInt8
  private static let (quote, carriageReturn) = (UInt8(ascii: "\""), UInt8(ascii: "\r"))

  init(_ stream: any ByteStream, separator: UInt8) {
    lines = LineReader(stream)
    path = stream.path
    self.separator = separator
  }

  func next() throws(CorpusError) -> [[UInt8]]? {
    while let line = try nextLine() {
      if !line.isEmpty { return try fields(of: line) }
    }
    return nil
  }

  private func nextLine() throws(CorpusError) -> [UInt8]? {
    guard var line = try lines.next() else { return nil }
    if line.last == Self.carriageReturn { line.removeLast() }
    return line
  }

  private func fields(of first: [UInt8]) throws(CorpusError) -> [[UInt8]] {
    var line = first
    var fields: [[UInt8]] = []
    var place = 0
    while true {
      var field: [UInt8] = []
      if place < line.count, line[place] == Self.quote {
        let start = lines.number
        place += 1
        while true {
          guard place < line.count else {
            guard field.count <= LineReader.longest, let more = try nextLine() else {
              throw .badLine(path: path, line: start, problem: "a quoted field is never closed")
            }
            field.append(UInt8(ascii: "\n"))
            line = more
            place = 0
            continue
          }
          if line[place] != Self.quote {
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
          throw .badLine(
            path: path, line: lines.number, problem: "expected a separator or the line's end behind a closing quote")
        }
      } else {
        let end = line[place...].firstIndex(of: separator) ?? line.count
        field = Array(line[place..<end])
        place = end
      }
      fields.append(field)
      if place >= line.count { return fields }
      place += 1
      // A separator at the very end: an empty field follows.
      if place == line.count {
        fields.append([])
        return fields
      }
    }
  }
}
