/// Byte strings, one behind the other in one block.
struct ParquetStrings {
  private(set) var bytes: [UInt8] = []
  /// Where each ends; it starts where the one before ends, at 0 for the first.
  private var ends: [Int] = []

  var count: Int { ends.count }

  func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

  mutating func append(_ string: UnsafeRawBufferPointer) {
    bytes.append(contentsOf: string)
    ends.append(bytes.count)
  }

  // MARK: Encodings

  /// PLAIN: each with its length of four bytes before it.
  static func plain(_ source: UnsafeRawBufferPointer, count: Int) throws(ParquetFailure) -> ParquetStrings {
    var cursor = ParquetCursor(source)
    var strings = ParquetStrings()
    strings.reserve(bytes: source.count, count: min(count, source.count / 4))
    for _ in 0..<count {
      let length = try cursor.int32()
      strings.append(try cursor.take(length))
    }
    return strings
  }

  /// DELTA_LENGTH_BYTE_ARRAY: all lengths, then all bytes.
  static func withLengths(_ source: UnsafeRawBufferPointer, count: Int) throws(ParquetFailure) -> ParquetStrings {
    var cursor = ParquetCursor(source)
    let lengths = try numbers(&cursor, count: count)
    var strings = ParquetStrings()
    strings.reserve(bytes: cursor.left, count: count)
    for length in lengths { strings.append(try cursor.take(length)) }
    return strings
  }

  /// DELTA_BYTE_ARRAY: how many bytes each shares with the one before, then the rest of each.
  ///
  /// - Parameter limit: bytes in all, since a few can stand for many.
  static func withPrefixes(
    _ source: UnsafeRawBufferPointer, count: Int, limit: Int
  ) throws(ParquetFailure) -> ParquetStrings {
    var cursor = ParquetCursor(source)
    let shared = try numbers(&cursor, count: count)
    let suffixes = try withLengths(cursor.rest, count: count)
    var strings = ParquetStrings()
    strings.reserve(bytes: source.count, count: count)
    var before = 0..<0
    for (index, prefix) in shared.enumerated() {
      guard (0...before.count).contains(prefix) else {
        throw .damage("a string that shares \(prefix) bytes with one of \(before.count)")
      }
      guard strings.bytes.count + prefix <= limit else { throw .damage("a page of more than \(limit >> 20) MiB") }
      strings.bytes.append(contentsOf: strings.bytes[before.lowerBound..<before.lowerBound + prefix])
      strings.bytes.append(contentsOf: suffixes.bytes[suffixes.range(index)])
      strings.ends.append(strings.bytes.count)
      before = strings.range(index)
    }
    return strings
  }

  /// Indices into a dictionary: a byte with their width, then runs.
  static func chosen(
    from dictionary: ParquetStrings, by source: UnsafeRawBufferPointer, count: Int, limit: Int
  ) throws(ParquetFailure) -> ParquetStrings {
    var cursor = ParquetCursor(source)
    guard count > 0 else { return ParquetStrings() }
    let width = Int(try cursor.byte())
    var strings = ParquetStrings()
    strings.ends.reserveCapacity(count)
    for index in try ParquetRuns.decode(cursor.rest, width: width, count: count) {
      guard index < dictionary.count else {
        throw .damage("entry \(index) of a dictionary of \(dictionary.count)")
      }
      let range = dictionary.range(Int(index))
      guard strings.bytes.count + range.count <= limit else { throw .damage("a page of more than \(limit >> 20) MiB") }
      strings.bytes.append(contentsOf: dictionary.bytes[range])
      strings.ends.append(strings.bytes.count)
    }
    return strings
  }

  private static func numbers(_ cursor: inout ParquetCursor, count: Int) throws(ParquetFailure) -> [Int] {
    let numbers = try ParquetDeltas.decode(&cursor, atMost: count)
    guard numbers.count == count else { throw .damage("\(numbers.count) lengths for \(count) strings") }
    return numbers
  }

  private mutating func reserve(bytes: Int, count: Int) {
    self.bytes.reserveCapacity(bytes)
    ends.reserveCapacity(count)
  }
}
