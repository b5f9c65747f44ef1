import Formats

/// The shards of a split, as many of them in memory as a number of bytes allows.
///
/// Reading allocates nothing. One thread at a time may use it.
final class ShardReader {
  let shards: [TokenShard]
  private var held: [UnsafeMutableRawBufferPointer?]
  private var isFilled: Bool
  private let cacheBytes: Int

  init(_ shards: [TokenShard], cacheBytes: Int) {
    self.shards = shards
    self.cacheBytes = cacheBytes
    held = Array(repeating: nil, count: shards.count)
    isFilled = cacheBytes <= 0
  }

  deinit {
    for memory in held { memory?.deallocate() }
  }

  /// Reads whole shards into memory, in their order, while they fit.
  func fillCache() throws(FormatError) {
    guard !isFilled else { return }
    isFilled = true
    var left = cacheBytes
    for (index, shard) in shards.enumerated() {
      let size = shard.count * shard.width
      guard size > 0, size <= left else { continue }
      left -= size
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
      held[index] = memory
      try shard.readStored(into: memory, at: 0)
    }
  }

  func read(_ shard: Int, at start: Int, into buffer: UnsafeMutableBufferPointer<Int32>) throws(FormatError) {
    guard let memory = held[shard] else { return try shards[shard].read(into: buffer, at: start) }
    if shards[shard].width == 2 {
      for index in 0..<buffer.count {
        let id = memory.loadUnaligned(fromByteOffset: 2 * (start + index), as: UInt16.self)
        buffer[index] = Int32(UInt16(littleEndian: id))
      }
    } else {
      for index in 0..<buffer.count {
        let id = memory.loadUnaligned(fromByteOffset: 4 * (start + index), as: Int32.self)
        buffer[index] = Int32(littleEndian: id)
      }
    }
  }
}
