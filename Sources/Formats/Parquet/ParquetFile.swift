/// A Parquet file, of which columns of strings are read.
///
/// All of the format's encodings of strings (PLAIN, both dictionary encodings, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY),
/// both versions of pages, and all codecs but LZO. A column may lie in optional groups, not in lists.
///
/// Apache Parquet Format 2.10, parquet.thrift.
package struct ParquetFile: Sendable {
  package struct Column: Sendable {
    /// Names from the outermost group on, joined by points.
    package let name: String
    /// Whether it holds one byte string, or none, for each row.
    package let isString: Bool
    let index: Int
    let deepestDefinition: Int
  }

  package let columns: [Column]
  package let rowGroupCount: Int
  private let file: InputFile
  private let chunks: [[ParquetChunk]]

  /// A footer larger than this is none.
  private static let largestFooter = 256 << 20

  package init(_ file: InputFile) throws(FormatError) {
    self.file = file
    do {
      let footer = try Self.footer(of: file)
      (columns, chunks) = try footer.lendBytes { bytes throws(ParquetFailure) in
        var cursor = ParquetCursor(bytes)
        let metadata = try ThriftStruct(&cursor)
        let columns = try Self.columns(of: metadata.records(2))
        var chunks: [[ParquetChunk]] = []
        for group in metadata.records(4) {
          var row: [ParquetChunk] = []
          for chunk in group.records(1) { row.append(try ParquetChunk(chunk, fileSize: file.size)) }
          guard row.count == columns.count else { throw .damage("\(row.count) of \(columns.count) columns in a group") }
          chunks.append(row)
        }
        return (columns, chunks)
      }
    } catch {
      throw error.formatError(file.path)
    }
    rowGroupCount = chunks.count
  }

  /// The values of a column in one group of rows.
  package func strings(of column: Column, rowGroup: Int) -> Strings {
    Strings(ParquetChunkReader(file, chunks[rowGroup][column.index], column))
  }

  /// Values one after the other, a page in memory at a time.
  package struct Strings {
    package struct Value {
      /// nil for a row without a value.
      package let bytes: [UInt8]?
    }

    private var reader: ParquetChunkReader
    private var page: ParquetPage?
    private var (row, index) = (0, 0)

    init(_ reader: ParquetChunkReader) { self.reader = reader }

    /// nil behind the last row.
    package mutating func next() throws(FormatError) -> Value? {
      while true {
        if let page, row < page.presence.count {
          defer { row += 1 }
          guard page.presence[row] else { return Value(bytes: nil) }
          defer { index += 1 }
          return Value(bytes: Array(page.strings.bytes[page.strings.range(index)]))
        }
        page = try reader.next()
        if page == nil { return nil }
        (row, index) = (0, 0)
      }
    }
  }

  // MARK: The footer

  private static func footer(of file: InputFile) throws(ParquetFailure) -> [UInt8] {
    func read(_ count: Int, at offset: Int) throws(ParquetFailure) -> [UInt8] {
      do {
        return try file.read(count: count, at: offset)
      } catch {
        throw .file(error)
      }
    }
    guard file.size >= 12 else { throw .damage("\(file.size) bytes") }
    let (head, tail) = (try read(4, at: 0), try read(8, at: file.size - 8))
    if tail[4...].elementsEqual("PARE".utf8) { throw .damage("an encrypted footer, which can't be read") }
    guard head.elementsEqual("PAR1".utf8), tail[4...].elementsEqual("PAR1".utf8) else {
      throw .damage("no PAR1 at its start and end")
    }
    let size = tail.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
    guard size <= min(file.size - 12, largestFooter) else { throw .damage("a footer of \(size) bytes") }
    return try read(size, at: file.size - 8 - size)
  }

  /// The leaves of the schema, which stands as a tree written from the top down.
  private static func columns(of elements: [ThriftStruct]) throws(ParquetFailure) -> [Column] {
    var columns: [Column] = []
    var place = 0

    func visit(_ path: [String], definition: Int, isRepeated: Bool) throws(ParquetFailure) {
      guard place < elements.count, path.count < 64 else { throw .damage("a schema without its end") }
      let element = elements[place]
      place += 1
      // 0 required, 1 optional, 2 repeated; the root has none.
      let repetition = path.isEmpty && place == 1 ? 0 : element.integer(3) ?? 0
      let name = element.text(4) ?? ""
      let path = place == 1 ? [] : path + [name]
      let definition = definition + (repetition == 0 ? 0 : 1)
      let isRepeated = isRepeated || repetition == 2
      let children = element.integer(5) ?? 0
      if children == 0, place > 1 {
        columns.append(
          Column(
            name: path.joined(separator: "."), isString: element.integer(1) == 6 && !isRepeated, index: columns.count,
            deepestDefinition: definition))
      }
      for _ in 0..<max(0, min(children, elements.count)) {
        try visit(path, definition: definition, isRepeated: isRepeated)
      }
    }
    try visit([], definition: 0, isRepeated: false)
    return columns
  }
}

/// What can go wrong inside of a file: its bytes, or reading them.
enum ParquetFailure: Error {
  case file(FormatError)
  case problem(String)

  static func damage(_ what: String) -> ParquetFailure {
    .problem("isn't a whole Parquet file: found \(what); copy or make the file again")
  }

  func formatError(_ path: String) -> FormatError {
    switch self {
    case .file(let error): error
    case .problem(let problem): .content(path: path, problem: problem)
    }
  }
}
