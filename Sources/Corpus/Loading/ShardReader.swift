import Formats

/// The shards of a split, as many of them in memory as a number of bytes allows.
///
/// Reading allocates nothing. One thread at a time may use it.
final class ShardReader {
  let shards: [TokenShard]
  private var held: [UnsafeMutableRawBufferPointer?]
  /// What is being read, and how far.
  private var filling: (shard: Int, memory: UnsafeMutableRawBufferPointer, count: Int)?
  /// The next shard that may be kept.
  private var next = 0
  private var bytesLeft: Int

  /// Few enough that a row isn't late because of them, also from a slow disk.
  private static let blockSize = 1 << 16

  init(_ shards: [TokenShard], cacheBytes: Int) {
    self.shards = shards
    bytesLeft = cacheBytes
    held = Array(repeating: nil, count: shards.count)
  }

  deinit {
    for memory in held { memory?.deallocate() }
    filling?.memory.deallocate()
  }

  /// Reads a block more of what is to be kept in memory: whole shards, in their order, while they fit.
  ///
  /// - Returns: whether there is more to come.
  func fillSome() -> Bool {
    guard var part = filling ?? nextPart() else { return false }
    let block = min(Self.blockSize, part.memory.count - part.count)
    let place = UnsafeMutableRawBufferPointer(rebasing: part.memory[part.count..<part.count + block])
    do {
      try shards[part.shard].readStored(into: place, at: part.count / shards[part.shard].width)
    } catch {
      // Whoever needs a row of it is told.
      part.memory.deallocate()
      filling = nil
      return true
    }
    part.count += block
    let isWhole = part.count == part.memory.count
    if isWhole { held[part.shard] = part.memory }
    filling = isWhole ? nil : part
    return true
  }

  private func nextPart() -> (shard: Int, memory: UnsafeMutableRawBufferPointer, count: Int)? {
    while next < shards.count {
      let (index, size) = (next, shards[next].count * shards[next].width)
      next += 1
      guard size > 0, size <= bytesLeft else { continue }
      bytesLeft -= size
      return (index, .allocate(byteCount: size, alignment: 64), 0)
    }
    return nil
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
