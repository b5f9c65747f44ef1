/// Finds the id of a token by its bytes: open addressing over one block of all tokens' bytes.
struct TokenTable: Sendable {
  private var bytes: [UInt8] = []
  /// Where each entry's bytes end; they start where the entry before ends.
  private var ends: [Int] = [0]
  private var ids: [Int32] = []
  /// 0 where free, else hash bits << 32 | (entry + 1).
  private var slots: [UInt64]

  init(capacity: Int) {
    var count = 64
    while count < capacity * 2 { count *= 2 }
    slots = Array(repeating: 0, count: count)
  }

  /// Adds a token whose bytes are not there yet.
  mutating func insert(_ token: UnsafeRawBufferPointer, id: Int32) {
    if ids.count * 2 >= slots.count { grow() }
    bytes.append(contentsOf: token)
    ends.append(bytes.count)
    ids.append(id)
    place(hash: hashBytes(token), entry: ids.count - 1)
  }

  func id(of token: UnsafeRawBufferPointer) -> Int32? {
    let hash = hashBytes(token)
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 {
      if slots[slot] >> 32 == hash >> 32 {
        let entry = Int(slots[slot] & 0xFFFF_FFFF) - 1
        if isToken(entry, token) { return ids[entry] }
      }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// The bytes of the longest token.
  var longest: Int { ids.indices.reduce(0) { max($0, ends[$1 + 1] - ends[$1]) } }

  /// Of the tokens that begin with `prefix` what stands behind it.
  func dropping(prefix: [UInt8]) -> TokenTable {
    var table = TokenTable(capacity: ids.count)
    for (entry, id) in ids.enumerated() {
      let token = bytes[ends[entry]..<ends[entry + 1]]
      guard token.starts(with: prefix) else { continue }
      token.dropFirst(prefix.count).withUnsafeBytes { table.insert($0, id: id) }
    }
    return table
  }

  private func isToken(_ entry: Int, _ token: UnsafeRawBufferPointer) -> Bool {
    let start = ends[entry]
    guard ends[entry + 1] - start == token.count else { return false }
    return bytes.withUnsafeBytes { all in
      for offset in 0..<token.count where all[start + offset] != token[offset] { return false }
      return true
    }
  }

  private mutating func place(hash: UInt64, entry: Int) {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 { slot = (slot + 1) & mask }
    slots[slot] = (hash & 0xFFFF_FFFF_0000_0000) | UInt64(entry + 1)
  }

  private mutating func grow() {
    slots = Array(repeating: 0, count: slots.count * 2)
    bytes.withUnsafeBytes { all in
      for entry in ids.indices {
        place(hash: hashBytes(UnsafeRawBufferPointer(rebasing: all[ends[entry]..<ends[entry + 1]])), entry: entry)
      }
    }
  }
}

/// A fast hash of short byte strings: eight bytes at a time through a full 64 × 64-bit product.
@inline(__always)
package func hashBytes(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
  var hash = UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15
  var offset = 0
  while offset + 8 <= bytes.count {
    hash = mixed(hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    offset += 8
  }
  var tail: UInt64 = 0
  while offset < bytes.count {
    tail = tail << 8 | UInt64(bytes[offset])
    offset += 1
  }
  return mixed(hash ^ tail)
}

@inline(__always)
func mixed(_ value: UInt64) -> UInt64 {
  let product = (value ^ 0x2D35_8DCC_AA6C_78A5).multipliedFullWidth(by: 0x8BB8_4B93_962E_ACC9)
  return product.high ^ product.low
}
