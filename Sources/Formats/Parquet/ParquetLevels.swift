/// Small numbers in runs: either one number many times, or groups of eight packed bit by bit (Parquet's "RLE" encoding of
/// levels and of dictionary indices).
enum ParquetRuns {
  /// Exactly `count` numbers of `width` bits.
  static func decode(
    _ bytes: UnsafeRawBufferPointer, width: Int, count: Int
  ) throws(ParquetFailure) -> [UInt32] {
    guard width <= 32 else { throw .damage("numbers of \(width) bits") }
    var numbers: [UInt32] = []
    numbers.reserveCapacity(count)
    var cursor = ParquetCursor(bytes)
    while numbers.count < count {
      let left = count - numbers.count
      let head = try cursor.varint()
      if head & 1 == 0 {
        guard head > 1 else { throw .damage("a run of nothing") }
        var value: UInt32 = 0
        for (index, byte) in try cursor.take((width + 7) / 8).enumerated() {
          value |= UInt32(byte) << UInt32(8 * index)
        }
        let length = Int(min(head >> 1, UInt64(left)))
        numbers.append(contentsOf: repeatElement(value, count: length))
      } else {
        // The last group may be longer than what is asked for, and some writers leave out what is not needed of it.
        let groups = Int(min(head >> 1, UInt64((left + 7) / 8)))
        guard groups > 0 else { throw .damage("a run of nothing") }
        let needed = min(left, groups * 8)
        let packed = try cursor.take(min(groups * width, max(cursor.left, (needed * width + 7) / 8)))
        ParquetBits.unpack(packed, width: width, count: needed) { numbers.append(UInt32(truncatingIfNeeded: $0)) }
      }
    }
    return numbers
  }
}

enum ParquetBits {
  /// Numbers of `width` bits each, the lowest bits first; bytes that are missing are zero.
  @inline(__always)
  static func unpack(_ bytes: UnsafeRawBufferPointer, width: Int, count: Int, _ body: (UInt64) -> Void) {
    let mask = width == 64 ? UInt64.max : 1 << UInt64(width) - 1
    var bit = 0
    for _ in 0..<count {
      let (place, shift) = (bit >> 3, UInt64(bit & 7))
      var value = load(bytes, at: place) >> shift
      if Int(shift) + width > 64 { value |= load(bytes, at: place + 8) << (64 - shift) }
      body(value & mask)
      bit += width
    }
  }

  @inline(__always)
  private static func load(_ bytes: UnsafeRawBufferPointer, at place: Int) -> UInt64 {
    if place + 8 <= bytes.count {
      return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
    }
    var value: UInt64 = 0
    for index in 0..<max(0, min(8, bytes.count - place)) { value |= UInt64(bytes[place + index]) << UInt64(8 * index) }
    return value
  }
}

/// Integers as differences, packed in blocks (Parquet's DELTA_BINARY_PACKED).
enum ParquetDeltas {
  /// All numbers at the cursor, which stands behind them afterwards.
  static func decode(_ cursor: inout ParquetCursor, atMost limit: Int) throws(ParquetFailure) -> [Int] {
    let blockSize = try cursor.count(atMost: 1 << 20)
    let miniblocks = try cursor.count(atMost: 1 << 12)
    let count = try cursor.count(atMost: limit)
    guard miniblocks > 0, blockSize % miniblocks == 0, blockSize / miniblocks % 32 == 0, blockSize > 0 else {
      throw .damage("\(miniblocks) parts of blocks of \(blockSize)")
    }
    let size = blockSize / miniblocks
    var value = Int(try cursor.zigzag())
    var numbers: [Int] = []
    guard count > 0 else { return [] }
    numbers.reserveCapacity(count)
    numbers.append(value)
    while numbers.count < count {
      let least = Int(try cursor.zigzag())
      let widths = Array(try cursor.take(miniblocks))
      for width in widths where numbers.count < count {
        guard width <= 64 else { throw .damage("numbers of \(width) bits") }
        let packed = try cursor.take(size * Int(width) / 8)
        ParquetBits.unpack(packed, width: Int(width), count: min(size, count - numbers.count)) { delta in
          value = value &+ least &+ Int(truncatingIfNeeded: delta)
          numbers.append(value)
        }
      }
    }
    return numbers
  }
}
