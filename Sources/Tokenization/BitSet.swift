/// A set of small numbers, a bit for each.
package struct BitSet: Sendable {
  private var words: [UInt64]

  package init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

  package subscript(index: Int) -> Bool { words[index >> 6] >> UInt64(index & 63) & 1 == 1 }
  package mutating func insert(_ index: Int) { words[index >> 6] |= 1 << UInt64(index & 63) }
}
