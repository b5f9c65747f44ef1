import Formats

/// A column of a Parquet file, a document in each row that has one.
final class ParquetSource: DocumentSource {
  private let file: ParquetFile
  private let column: ParquetFile.Column
  private var group = 0
  private var reader: ParquetFile.Strings?

  init(_ input: InputFile, column name: String) throws(CorpusError) {
    file = try withFiles(try ParquetFile(input))
    guard let column = file.columns.first(where: { $0.name == name && $0.isString }) else {
      let strings = file.columns.filter(\.isString).prefix(20).map { "\"\($0.name)\"" }
      throw .file(
        .content(
          path: input.path,
          problem: "has no column \"\(name)\" of strings; "
            + (strings.isEmpty ? "it has none of that kind" : "those it has: " + strings.joined(separator: ", "))))
    }
    self.column = column
  }

  func next() throws(CorpusError) -> RawDocument? {
    while true {
      if reader == nil {
        guard group < file.rowGroupCount else { return nil }
        reader = file.strings(of: column, rowGroup: group)
        group += 1
      }
      // Rows without a value are no documents.
      while let value = try withFiles(try reader?.next()) {
        if let bytes = value.bytes { return RawDocument(bytes: bytes, form: .text) }
      }
      reader = nil
    }
  }
}
