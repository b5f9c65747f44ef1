/// Writes a token shard; it appears under its name, whole and synced, with ``commit()``.
package final class TokenShardWriter {
  package let path: String
  /// How many ids were appended.
  package private(set) var count = 0
  private let file: OutputFile
  private let width: Int

  /// - Parameter vocabularySize: decides the width of the ids: 2 bytes up to 65,536, else 4.
  package init(path: String, vocabularySize: Int) throws(FormatError) {
    self.path = path
    file = try OutputFile(path: path)
    width = vocabularySize <= 1 << 16 ? 2 : 4
    try file.write([UInt8](repeating: 0, count: TokenShard.headerSize))
  }

  package func append(_ ids: UnsafeBufferPointer<Int32>) throws(FormatError) {
    guard count + ids.count <= Int(Int32.max) else {
      throw .unwritable(path: path, reason: "a shard holds at most \(Int32.max) tokens")
    }
    if width == 4 {
      let stored = ids.map { UInt32(bitPattern: $0).littleEndian }
      try stored.lendBytes { bytes throws(FormatError) in try file.write(bytes) }
    } else {
      let stored = ids.map { UInt16($0).littleEndian }
      try stored.lendBytes { bytes throws(FormatError) in try file.write(bytes) }
    }
    count += ids.count
  }

  package func append(_ ids: [Int32]) throws(FormatError) {
    try ids.withUnsafeBufferPointer { buffer throws(FormatError) in try append(buffer) }
  }

  package func commit() throws(FormatError) {
    let magic = width == 2 ? TokenShard.magic16 : TokenShard.magic32
    let version = width == 2 ? TokenShard.version16 : TokenShard.version32
    let header = [magic.littleEndian, version.littleEndian, Int32(count).littleEndian]
    try header.lendBytes { bytes throws(FormatError) in try file.write(bytes, at: 0) }
    try file.commit()
  }
}
