/// Reads bytes one after the other, never beyond their end.
struct ParquetCursor {
  let bytes: UnsafeRawBufferPointer
  private(set) var place = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var left: Int { bytes.count - place }
  var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[place...]) }

  @inline(__always)
  mutating func byte() throws(ParquetFailure) -> UInt8 {
    guard place < bytes.count else { throw .damage("an end within a value") }
    place += 1
    return bytes[place - 1]
  }

  mutating func take(_ count: Int) throws(ParquetFailure) -> UnsafeRawBufferPointer {
    guard count >= 0, count <= left else { throw .damage("\(count) bytes promised where \(left) are left") }
    defer { place += count }
    return UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
  }

  /// A little-endian number of four bytes.
  @inline(__always)
  mutating func int32() throws(ParquetFailure) -> Int {
    guard left >= 4 else { throw .damage("an end within a number") }
    defer { place += 4 }
    return Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Int32.self)))
  }

  /// Seven bits a byte, the lowest first.
  mutating func varint() throws(ParquetFailure) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      let byte = try byte()
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw .damage("a number of more than ten bytes")
  }

  /// A varint whose lowest bit is its sign.
  mutating func zigzag() throws(ParquetFailure) -> Int64 {
    let value = try varint()
    return Int64(bitPattern: value >> 1) ^ -Int64(value & 1)
  }

  /// A varint that counts something that takes at least a bit of what is left, or stands in a page of bounded size.
  mutating func count(atMost limit: Int) throws(ParquetFailure) -> Int {
    let value = try varint()
    guard value <= UInt64(limit) else { throw .damage("a count of \(value) where at most \(limit) can be") }
    return Int(value)
  }
}
