/// The merges of a vocabulary: which pairs of tokens join, in which order, into which token.
///
/// Most questions are about two bytes, the first of every word: these are answered by a flat table, the others by
/// open addressing with the answer beside the key, one cache line in most cases.
///
/// Unchecked, because its memory is written in init alone.
final class MergeTable: @unchecked Sendable {
  /// The rank of a pair that does not merge.
  static let none = UInt32.max

  struct Entry {
    var pair: UInt64
    var rank: UInt32
    var merged: Int32
  }

  /// The token of each single byte.
  let byteTokens: UnsafeMutablePointer<Int32>
  /// The rank and token of (first byte << 8 | second byte).
  private let bytePairs: UnsafeMutablePointer<(rank: UInt32, merged: Int32)>
  private let entries: UnsafeMutablePointer<Entry>
  private let mask: Int
  private let shift: UInt64
  private static let free = UInt64.max

  /// - Parameter merges: in order of rank; of a pair that is there twice, the later counts, as in Hugging Face's.
  init(byteTokens tokens: [Int32], merges: [(left: Int32, right: Int32, merged: Int32)]) {
    precondition(tokens.count == 256)
    byteTokens = .allocate(capacity: 256)
    byteTokens.initialize(from: tokens, count: 256)

    var bits = 6
    while 1 << bits < merges.count * 2 { bits += 1 }
    mask = 1 << bits - 1
    shift = UInt64(64 - bits)
    entries = .allocate(capacity: mask + 1)
    entries.initialize(repeating: Entry(pair: Self.free, rank: Self.none, merged: 0), count: mask + 1)
    bytePairs = .allocate(capacity: 1 << 16)
    bytePairs.initialize(repeating: (Self.none, 0), count: 1 << 16)

    for (rank, merge) in merges.enumerated() {
      let pair = Self.key(merge.left, merge.right)
      var slot = home(pair)
      while entries[slot].pair != Self.free, entries[slot].pair != pair { slot = (slot + 1) & mask }
      entries[slot] = Entry(pair: pair, rank: UInt32(rank), merged: merge.merged)
    }
    for first in 0..<256 {
      for second in 0..<256 {
        bytePairs[first << 8 | second] = find(tokens[first], tokens[second])
      }
    }
  }

  /// A table for words of tokens that are no bytes.
  convenience init(merges: [(left: Int32, right: Int32, merged: Int32)]) {
    self.init(byteTokens: Array(repeating: -1, count: 256), merges: merges)
  }

  deinit {
    byteTokens.deallocate()
    bytePairs.deallocate()
    entries.deallocate()
  }

  @inline(__always)
  func find(_ left: Int32, _ right: Int32) -> (rank: UInt32, merged: Int32) {
    let pair = Self.key(left, right)
    var slot = home(pair)
    while true {
      let entry = entries[slot]
      if entry.pair == pair { return (entry.rank, entry.merged) }
      if entry.pair == Self.free { return (Self.none, 0) }
      slot = (slot + 1) & mask
    }
  }

  @inline(__always)
  func find(byte first: UInt8, _ second: UInt8) -> (rank: UInt32, merged: Int32) {
    bytePairs[Int(first) << 8 | Int(second)]
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func home(_ pair: UInt64) -> Int {
    Int(truncatingIfNeeded: ((pair ^ pair >> 29) &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }
}
