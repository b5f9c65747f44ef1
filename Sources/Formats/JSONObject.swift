/// The members of a JSON object, in the order of the text, found by key in constant time.
///
/// Up to eight members are searched one by one. Beyond, an open-addressing table of (32 hash bits, position) stands
/// beside them: a vocabulary of 50,000 entries costs one array more, and no String is hashed by Unicode rules.
package struct JSONObject: Sendable {
  package typealias Element = (key: String, value: JSON)

  private var members: [Element] = []
  /// Empty, or a power of two of slots: 0 where free, else hash bits << 32 | (position + 1).
  private var table: [UInt64] = []

  private static let linearLimit = 8

  package init() {}

  package mutating func reserveCapacity(_ count: Int) {
    members.reserveCapacity(count)
    if count > Self.linearLimit { rebuildTable(capacity: count) }
  }

  package var keys: [String] { members.map(\.key) }

  /// The value of `key`. Setting appends a new key at the end, keeps the place of an old one, and removes it for nil.
  package subscript(key: String) -> JSON? {
    get { position(of: key, hash: hashForTable(key)).map { members[$0].value } }
    set {
      let hash = hashForTable(key)
      switch (position(of: key, hash: hash), newValue) {
      case (let position?, let value?):
        members[position].value = value
      case (nil, let value?):
        append(key, value, hash: hash)
      case (let position?, nil):
        members.remove(at: position)
        rebuildTable(capacity: members.count)
      case (nil, nil):
        break
      }
    }
  }

  /// Adds a member unless its key is there already; says whether it did.
  package mutating func insert(_ key: String, _ value: JSON) -> Bool {
    let hash = hashForTable(key)
    guard position(of: key, hash: hash) == nil else { return false }
    append(key, value, hash: hash)
    return true
  }

  private mutating func append(_ key: String, _ value: JSON, hash: UInt32) {
    members.append((key, value))
    if table.isEmpty {
      if members.count > Self.linearLimit { rebuildTable(capacity: members.count) }
    } else {
      if members.count * 2 > table.count { growTable() }
      place(hash: hash, position: members.count - 1)
    }
  }

  private func hashForTable(_ key: String) -> UInt32 { table.isEmpty ? 0 : keyHash(key) }

  private func position(of key: String, hash: UInt32) -> Int? {
    guard !table.isEmpty else {
      return members.firstIndex { sameBytes($0.key, key) }
    }
    let mask = table.count - 1
    var slot = Int(hash) & mask
    while table[slot] != 0 {
      if UInt32(truncatingIfNeeded: table[slot] >> 32) == hash {
        let position = Int(UInt32(truncatingIfNeeded: table[slot])) - 1
        if sameBytes(members[position].key, key) { return position }
      }
      slot = (slot + 1) & mask
    }
    return nil
  }

  private mutating func place(hash: UInt32, position: Int) {
    let mask = table.count - 1
    var slot = Int(hash) & mask
    while table[slot] != 0 { slot = (slot + 1) & mask }
    table[slot] = UInt64(hash) << 32 | UInt64(position + 1)
  }

  private mutating func rebuildTable(capacity: Int) {
    guard capacity > Self.linearLimit else {
      table = []
      return
    }
    var slots = 32
    while slots < capacity * 2 { slots *= 2 }
    table = Array(repeating: 0, count: slots)
    for position in members.indices { place(hash: keyHash(members[position].key), position: position) }
  }

  /// The hashes are in the old table: no key is read again.
  private mutating func growTable() {
    let old = table
    table = Array(repeating: 0, count: old.count * 4)
    for entry in old where entry != 0 {
      place(hash: UInt32(truncatingIfNeeded: entry >> 32), position: Int(UInt32(truncatingIfNeeded: entry)) - 1)
    }
  }
}

extension JSONObject: RandomAccessCollection {
  package var startIndex: Int { 0 }
  package var endIndex: Int { members.count }
  package subscript(position: Int) -> Element { members[position] }
}

extension JSONObject: Equatable {
  /// Equal members, in any order.
  package static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.count == b.count && a.members.allSatisfy { b[$0.key] == $0.value }
  }
}

private func sameBytes(_ a: String, _ b: String) -> Bool {
  a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
}

/// Chosen anew in each process, so that no file can be written to collide.
private let hashSeed = UInt64.random(in: 0...UInt64.max)

private func keyHash(_ key: String) -> UInt32 {
  let multiplier: UInt64 = 0x9E37_79B9_7F4A_7C15
  var hash = hashSeed
  func mix(_ word: UInt64) {
    let product = (hash ^ word).multipliedFullWidth(by: multiplier)
    hash = product.high ^ product.low &+ word
  }
  let hashed: Void? = key.utf8.withContiguousStorageIfAvailable { bytes in
    let raw = UnsafeRawBufferPointer(bytes)
    var offset = 0
    while offset + 8 <= raw.count {
      mix(raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      offset += 8
    }
    var tail = UInt64(raw.count) << 56
    while offset < raw.count {
      tail = tail << 8 ^ UInt64(raw[offset])
      offset += 1
    }
    mix(tail)
  }
  if hashed == nil {
    for byte in key.utf8 { mix(UInt64(byte)) }
  }
  let product = hash.multipliedFullWidth(by: multiplier ^ hashSeed | 1)
  return UInt32(truncatingIfNeeded: (product.high ^ product.low) >> 16)
}
