/// How often each word occurs: what a vocabulary is learned from.
///
/// Each worker counts its own texts; the counts are then merged. The result does not depend on who counted what.
package struct WordCounts: Sendable {
  package let pattern: SplitPattern
  /// The bytes of all words, one after the other.
  private(set) var bytes: [UInt8] = []
  /// Where each word's bytes end; they start where the word before ends.
  private(set) var ends: [Int] = [0]
  private(set) var counts: [UInt64] = []
  /// Open addressing: 0 where free, else hash bits << 32 | (word + 1).
  private var slots: [UInt64] = Array(repeating: 0, count: 1 << 10)

  package init(pattern: SplitPattern) { self.pattern = pattern }

  /// How many different words there are.
  package var count: Int { counts.count }
  /// How many bytes the different words have together.
  package var byteCount: Int { bytes.count }

  /// Of the text that was counted: 1 in English, nearly 3 in Chinese.
  package var bytesPerCharacter: Double {
    var (all, characters) = (0.0, 0.0)
    for (word, count) in counts.enumerated() {
      let word = bytes[ends[word]..<ends[word + 1]]
      all += Double(count) * Double(word.count)
      // Bytes that begin a character.
      characters += Double(count) * Double(word.count { $0 & 0xC0 != 0x80 })
    }
    return characters > 0 ? all / characters : 1
  }

  /// Adds the words of a whole document in UTF-8.
  package mutating func add(_ text: UnsafeRawBufferPointer) {
    PreTokenizer(pattern).forEachWord(in: text) { range in
      add(word: UnsafeRawBufferPointer(rebasing: text[range]), count: 1)
    }
  }

  package mutating func add(_ text: String) {
    var text = text
    text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
  }

  package mutating func merge(_ other: WordCounts) {
    other.bytes.withUnsafeBytes { all in
      for word in other.counts.indices {
        let range = other.ends[word]..<other.ends[word + 1]
        add(word: UnsafeRawBufferPointer(rebasing: all[range]), count: other.counts[word])
      }
    }
  }

  private mutating func add(word: UnsafeRawBufferPointer, count: UInt64) {
    let hash = hashBytes(word)
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 {
      if slots[slot] >> 32 == hash >> 32 {
        let index = Int(slots[slot] & 0xFFFF_FFFF) - 1
        if isWord(index, word) {
          counts[index] += count
          return
        }
      }
      slot = (slot + 1) & mask
    }
    bytes.append(contentsOf: word)
    ends.append(bytes.count)
    counts.append(count)
    slots[slot] = (hash & 0xFFFF_FFFF_0000_0000) | UInt64(counts.count)
    if counts.count * 2 > slots.count { grow() }
  }

  private func isWord(_ index: Int, _ word: UnsafeRawBufferPointer) -> Bool {
    let start = ends[index]
    guard ends[index + 1] - start == word.count else { return false }
    return bytes.withUnsafeBytes { all in
      for offset in 0..<word.count where all[start + offset] != word[offset] { return false }
      return true
    }
  }

  private mutating func grow() {
    slots = Array(repeating: 0, count: slots.count * 4)
    let mask = slots.count - 1
    bytes.withUnsafeBytes { all in
      for word in counts.indices {
        let hash = hashBytes(UnsafeRawBufferPointer(rebasing: all[ends[word]..<ends[word + 1]]))
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = (hash & 0xFFFF_FFFF_0000_0000) | UInt64(word + 1)
      }
    }
  }
}
