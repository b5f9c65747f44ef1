import CCompression

/// A column's part of one group of rows.
struct ParquetChunk: Sendable {
  let codec: Int
  let valueCount: Int
  let range: Range<Int>

  init(_ record: ThriftStruct, fileSize: Int) throws(ParquetFailure) {
    guard record.text(1) == nil else { throw .damage("columns in other files, which can't be read") }
    guard let metadata = record.record(3) else { throw .damage("a column without its metadata (it may be encrypted)") }
    codec = try metadata.required(4, "codec")
    valueCount = try metadata.required(5, "number of values")
    let size = try metadata.required(7, "size of a column")
    let data = try metadata.required(9, "place of the first page")
    // Some old writers give 0 where there is no dictionary.
    let dictionary = metadata.integer(11) ?? 0
    let start = dictionary > 0 ? min(dictionary, data) : data
    guard start >= 4, size >= 0, valueCount >= 0, start <= fileSize, size <= fileSize - start else {
      throw .damage("a column outside of the file")
    }
    range = start..<start + size
  }
}

/// Values of a column that follow each other.
struct ParquetPage {
  /// For each row whether it has a value.
  let presence: [Bool]
  /// The values that are there.
  let strings: ParquetStrings
}

/// Reads the pages of a column's part, one at a time.
struct ParquetChunkReader {
  private let file: InputFile
  private let chunk: ParquetChunk
  private let column: ParquetFile.Column
  private var offset: Int
  private var valuesRead = 0
  private var dictionary: ParquetStrings?

  /// What a page may hold, decompressed.
  static let largestPage = 1 << 30
  /// A few bytes can stand for many rows.
  private static let mostRows = 1 << 26
  /// The header of a page is small, but may hold statistics with whole values.
  private static let largestHeader = 64 << 20

  init(_ file: InputFile, _ chunk: ParquetChunk, _ column: ParquetFile.Column) {
    self.file = file
    self.chunk = chunk
    self.column = column
    offset = chunk.range.lowerBound
  }

  /// nil behind the last page.
  mutating func next() throws(FormatError) -> ParquetPage? {
    do throws(ParquetFailure) {
      while valuesRead < chunk.valueCount {
        guard offset < chunk.range.upperBound else {
          throw ParquetFailure.damage("\(valuesRead) of \(chunk.valueCount) values")
        }
        let header = try readHeader()
        let body = try read(header.compressedSize, at: offset)
        offset += header.compressedSize
        if let page = try decode(header, body) { return page }
      }
      return nil
    } catch {
      throw error.formatError(file.path)
    }
  }

  // MARK: Headers

  private struct Header {
    /// 0 data, 2 dictionary, 3 data of version 2.
    let type: Int
    let size: Int
    let compressedSize: Int
    let checksum: Int?
    let record: ThriftStruct
  }

  private mutating func readHeader() throws(ParquetFailure) -> Header {
    // Its length is not known before it is read.
    var size = min(1 << 12, chunk.range.upperBound - offset)
    while true {
      let bytes = try read(size, at: offset)
      do throws(ParquetFailure) {
        let (record, length) = try bytes.lendBytes { bytes throws(ParquetFailure) -> (ThriftStruct, Int) in
          var cursor = ParquetCursor(bytes)
          return (try ThriftStruct(&cursor), cursor.place)
        }
        let header = Header(
          type: try record.required(1, "type of a page"), size: try record.required(2, "size of a page"),
          compressedSize: try record.required(3, "size of a page"), checksum: record.integer(4), record: record)
        guard (0...Self.largestPage).contains(header.size) else {
          throw .damage("a page of \(header.size) bytes; at most \(Self.largestPage >> 20) MiB are read")
        }
        guard (0...chunk.range.upperBound - offset - length).contains(header.compressedSize) else {
          throw .damage("a page beyond its column")
        }
        offset += length
        return header
      } catch {
        guard case .problem = error, size < min(Self.largestHeader, chunk.range.upperBound - offset) else {
          throw error
        }
        size = min(size * 16, chunk.range.upperBound - offset)
      }
    }
  }

  // MARK: Pages

  private mutating func decode(_ header: Header, _ body: [UInt8]) throws(ParquetFailure) -> ParquetPage? {
    if let expected = header.checksum, Compression.gzip.isThere {
      let found = body.withUnsafeBufferPointer { mf_crc32(0, $0.baseAddress, $0.count) }
      guard found == UInt32(truncatingIfNeeded: expected) else { throw .damage("a page with a wrong checksum") }
    }
    switch header.type {
    case 2:
      let fields = header.record.record(7)
      let count = try count(fields?.integer(1), in: header)
      let bytes = try decompress(body[...], size: header.size)
      dictionary = try bytes.lendBytes { bytes throws(ParquetFailure) in
        try ParquetStrings.plain(bytes, count: count)
      }
      return nil
    case 0:
      return try decodeFirstVersion(header, body)
    case 3:
      return try decodeSecondVersion(header, body)
    default:
      // An index page, or what is still to come.
      return nil
    }
  }

  /// Levels and values are compressed together; a length stands before the levels.
  private mutating func decodeFirstVersion(_ header: Header, _ body: [UInt8]) throws(ParquetFailure) -> ParquetPage {
    guard let fields = header.record.record(5) else { throw .damage("a page without its header") }
    let count = try count(fields.integer(1), in: header)
    let bytes = try decompress(body[...], size: header.size)
    let column = column
    let dictionary = dictionary
    let page = try bytes.lendBytes { bytes throws(ParquetFailure) -> ParquetPage in
      var cursor = ParquetCursor(bytes)
      var presence = [Bool](repeating: true, count: count)
      if column.deepestDefinition > 0 {
        guard fields.integer(3) ?? 3 == 3 else { throw .damage("levels in the encoding BIT_PACKED, which is not read") }
        let length = try cursor.int32()
        presence = try Self.presence(try cursor.take(length), count: count, column)
      }
      return try Self.page(presence, cursor.rest, encoding: fields.integer(2), dictionary)
    }
    valuesRead += count
    return page
  }

  /// Levels stand uncompressed before the values, their lengths in the header.
  private mutating func decodeSecondVersion(_ header: Header, _ body: [UInt8]) throws(ParquetFailure) -> ParquetPage {
    guard let fields = header.record.record(8) else { throw .damage("a page without its header") }
    let count = try count(fields.integer(1), in: header)
    let definitions = fields.integer(5) ?? 0
    let repetitions = fields.integer(6) ?? 0
    guard definitions >= 0, repetitions >= 0, definitions <= body.count, repetitions <= body.count - definitions,
      definitions + repetitions <= header.size
    else { throw .damage("levels beyond their page") }
    let values = body[(definitions + repetitions)...]
    let isCompressed = fields.boolean(7) ?? true
    let bytes =
      isCompressed ? try decompress(values, size: header.size - definitions - repetitions) : Array(values)
    let column = column
    let dictionary = dictionary
    let page = try body.lendBytes { body throws(ParquetFailure) -> ParquetPage in
      let levels = UnsafeRawBufferPointer(rebasing: body[repetitions..<repetitions + definitions])
      let presence =
        column.deepestDefinition > 0
        ? try Self.presence(levels, count: count, column) : [Bool](repeating: true, count: count)
      return try bytes.lendBytes { bytes throws(ParquetFailure) in
        try Self.page(presence, bytes, encoding: fields.integer(4), dictionary)
      }
    }
    valuesRead += count
    return page
  }

  private static func presence(
    _ levels: UnsafeRawBufferPointer, count: Int, _ column: ParquetFile.Column
  ) throws(ParquetFailure) -> [Bool] {
    let width = Int.bitWidth - column.deepestDefinition.leadingZeroBitCount
    return try ParquetRuns.decode(levels, width: width, count: count).map { $0 == column.deepestDefinition }
  }

  private static func page(
    _ presence: [Bool], _ bytes: UnsafeRawBufferPointer, encoding: Int?, _ dictionary: ParquetStrings?
  ) throws(ParquetFailure) -> ParquetPage {
    let count = presence.count(where: \.self)
    let strings: ParquetStrings
    switch encoding {
    case 0:
      strings = try .plain(bytes, count: count)
    case 2, 8:
      guard let dictionary else { throw .damage("indices without a dictionary") }
      strings = try .chosen(from: dictionary, by: bytes, count: count, limit: largestPage)
    case 6:
      strings = try .withLengths(bytes, count: count)
    case 7:
      strings = try .withPrefixes(bytes, count: count, limit: largestPage)
    default:
      throw .damage("strings in encoding \(encoding.map(String.init) ?? "none"), which is not read")
    }
    return ParquetPage(presence: presence, strings: strings)
  }

  // MARK: Bytes

  /// A number of values: not more than a page of such a size, or the rest of the column, can hold.
  private func count(_ value: Int?, in header: Header) throws(ParquetFailure) -> Int {
    let limit = header.type == 2 ? header.size / 4 : min(Self.mostRows, chunk.valueCount - valuesRead)
    guard let value, (0...limit).contains(value) else {
      throw .damage("\(value.map(String.init) ?? "no number of") values in a page that can have \(limit)")
    }
    return value
  }

  private func decompress(_ bytes: ArraySlice<UInt8>, size: Int) throws(ParquetFailure) -> [UInt8] {
    let compression: Compression
    switch chunk.codec {
    case 0: return Array(bytes)
    case 1: compression = .snappy
    case 2: compression = .gzip
    case 4: compression = .brotli
    case 6: compression = .zstd
    case 7: compression = .lz4
    case let codec:
      throw .problem(
        "its columns are compressed by codec \(codec) of Parquet (LZO or the old LZ4), which can't be read")
    }
    if size == 0 { return [] }
    do {
      let path = file.path
      return try Array(bytes).lendBytes { bytes throws(FormatError) in
        try compression.decode(bytes, size: size, path: path)
      }
    } catch {
      throw .file(error)
    }
  }

  private func read(_ count: Int, at offset: Int) throws(ParquetFailure) -> [UInt8] {
    do {
      return try file.read(count: count, at: offset)
    } catch {
      throw .file(error)
    }
  }
}
