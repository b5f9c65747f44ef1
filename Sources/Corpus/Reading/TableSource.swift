import Formats

/// A column of a table of values that are separated by commas or tabs (RFC 4180), a document in each row.
final class TableSource: DocumentSource {
  private let records: CSVReader
  private let column: Int

  /// - Throws: ``CorpusError/badLine(path:line:problem:)`` where the first line doesn't name the column.
  init(_ stream: any ByteStream, separator: UInt8, column: String) throws(CorpusError) {
    records = CSVReader(stream, separator: separator, isStrict: false)
    var header = try records.next()
    while header?.isEmptyLine == true { header = try records.next() }
    let names = header?.texts ?? []
    guard let index = names.firstIndex(of: column) else {
      throw .badLine(
        path: stream.path, line: 1,
        problem: "has no column \"\(column)\"; its columns are "
          + names.prefix(20).map { "\"\($0.prefix(40))\"" }.joined(separator: ", "))
    }
    self.column = index
  }

  func next() throws(CorpusError) -> RawDocument? {
    while let record = try records.next() {
      if record.isEmptyLine { continue }
      // A short row has no text.
      return RawDocument(bytes: column < record.fields.count ? record.fields[column] : [], form: .text)
    }
    return nil
  }
}
