/// A file of token ids, as llm.c and its successors write them.
///
/// 256 little-endian Int32 (magic, version, token count, zeros), then the ids: UInt16 for magic 20240520 and version 1,
/// UInt32 for magic 20240801 and version 7. Read by `pread`, never mapped; any number of threads may read one shard.
package final class TokenShard: Sendable {
  package let path: String
  /// How many ids it holds.
  package let count: Int
  /// Bytes of one id, 2 or 4.
  package let width: Int
  private let file: InputFile

  package static let headerSize = 1024
  static let magic16: Int32 = 20_240_520
  static let magic32: Int32 = 20_240_801
  static let version16: Int32 = 1
  static let version32: Int32 = 7

  /// Opens a shard and checks its header against the file's size.
  package init(path: String) throws(FormatError) {
    self.path = path
    file = try InputFile(path: path)
    let header = try file.read(count: min(file.size, Self.headerSize), at: 0)
    func word(_ index: Int) -> Int32 {
      guard header.count >= 4 * index + 4 else { return 0 }
      return header.withUnsafeBytes { Int32(littleEndian: $0.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self)) }
    }
    switch word(0) {
    case Self.magic16: width = 2
    case Self.magic32: width = 4
    default: throw .shard(path: path, .notAShard(size: file.size))
    }
    let version = width == 2 ? Self.version16 : Self.version32
    guard header.count == Self.headerSize else {
      throw .cutShort(path: path, expected: Self.headerSize, found: header.count)
    }
    guard word(1) == version else {
      throw .shard(path: path, .version(expected: Int(version), found: Int(word(1))))
    }
    count = Int(word(2))
    guard count >= 0 else { throw .shard(path: path, .negativeCount(count)) }
    let expected = Self.headerSize + count * width
    guard file.size == expected else {
      throw .shard(path: path, .size(tokens: count, expected: expected, found: file.size))
    }
  }

  /// Reads as many ids as the buffer holds, from position `start` on. Allocates nothing.
  ///
  /// An id of 2³¹ or more comes out negative; ``firstInvalid(vocabularySize:)`` finds it.
  package func read(into buffer: UnsafeMutableBufferPointer<Int32>, at start: Int) throws(FormatError) {
    precondition(start >= 0 && start + buffer.count <= count, "reading beyond the shard")
    let bytes = UnsafeMutableRawBufferPointer(buffer)
    let offset = Self.headerSize + start * width
    if width == 4 {
      try file.read(into: bytes, at: offset)
    } else {
      // The narrow ids land in the buffer's second half; widened from the front, none is overwritten before it is read.
      let tail = UnsafeMutableRawBufferPointer(rebasing: bytes[(bytes.count / 2)...])
      try file.read(into: tail, at: offset)
      for index in 0..<buffer.count {
        buffer[index] = Int32(UInt16(littleEndian: tail.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
      }
    }
  }

  package func read(_ range: Range<Int>) throws(FormatError) -> [Int32] {
    var ids = [Int32](repeating: 0, count: range.count)
    try ids.withUnsafeMutableBufferPointer { buffer throws(FormatError) in
      try read(into: buffer, at: range.lowerBound)
    }
    return ids
  }

  /// The ids' bytes as they are in the file, from position `start` on.
  package func readStored(into buffer: UnsafeMutableRawBufferPointer, at start: Int) throws(FormatError) {
    try file.read(into: buffer, at: Self.headerSize + start * width)
  }

  /// The first id that a vocabulary of this size doesn't have, with its position. Reads the whole shard.
  package func firstInvalid(vocabularySize: Int) throws(FormatError) -> (position: Int, id: Int)? {
    if width == 2, vocabularySize > Int(UInt16.max) { return nil }
    let limit = UInt32(clamping: vocabularySize)
    let block = UnsafeMutableBufferPointer<Int32>.allocate(capacity: min(count, 1 << 18))
    defer { block.deallocate() }
    var start = 0
    while start < count {
      let part = UnsafeMutableBufferPointer(rebasing: block[..<min(block.count, count - start)])
      try read(into: part, at: start)
      // A maximum over the block is a loop that the compiler makes wide; only a bad block is searched.
      var largest: UInt32 = 0
      for id in part { largest = max(largest, UInt32(bitPattern: id)) }
      if largest >= limit, let index = part.firstIndex(where: { UInt32(bitPattern: $0) >= limit }) {
        return (start + index, Int(UInt32(bitPattern: part[index])))
      }
      start += part.count
    }
    return nil
  }
}

/// What is wrong with a token shard.
package enum TokenShardProblem: Equatable, Sendable {
  case notAShard(size: Int)
  case version(expected: Int, found: Int)
  case negativeCount(Int)
  case size(tokens: Int, expected: Int, found: Int)
  case idBeyondVocabulary(position: Int, id: Int, vocabularySize: Int)

  var text: String {
    switch self {
    case .notAShard(let size) where size > 0 && size % 2 == 0:
      """
      has no token shard's header (1,024 bytes that start with 20240520 or 20240801). It looks like a headerless .bin \
      as nanoGPT writes it: \(size / 2) uint16 ids. Prepare the text again with 'mayfly prepare', or give the ids a \
      header: python3 -c "import sys,numpy as n; d=n.fromfile(sys.argv[1],'<u2'); h=n.zeros(256,'<i4'); \
      h[:3]=20240520,1,len(d); open(sys.argv[2],'wb').write(h.tobytes()+d.tobytes())" OLD.bin NEW.bin
      """
    case .notAShard(let size):
      "isn't a token shard: expected 1,024 bytes of header that start with 20240520 or 20240801, "
        + "found \(size) bytes of something else"
    case .version(let expected, let found):
      "a token shard of version \(found); expected version \(expected)"
    case .negativeCount(let count):
      "the header claims \(count) tokens; expected 0 or more"
    case .size(let tokens, let expected, let found):
      "\(found < expected ? "cut short" : "too long"): the header claims \(tokens) tokens, which makes "
        + "\(expected) bytes, found \(found); copy or prepare the shard again"
    case .idBeyondVocabulary(let position, let id, let vocabularySize):
      "token \(position) has id \(id); expected an id below the vocabulary's size, \(vocabularySize). "
        + "The shard was made with another tokenizer, or is damaged"
    }
  }
}
