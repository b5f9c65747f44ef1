/// The classes of characters that the split patterns tell apart: `\p{L}`, `\p{N}`, `\s` and all the rest.
package enum CharacterClass: UInt8 {
  case other, letter, number, space
}

@inline(__always)
func asciiClass(_ byte: UInt8) -> CharacterClass {
  if (byte | 0x20) &- UInt8(ascii: "a") < 26 { return .letter }
  if byte == 0x20 || byte &- 0x09 < 5 { return .space }
  return byte &- UInt8(ascii: "0") < 10 ? .number : .other
}

/// Classes of all scalars in two stages: 256-scalar blocks, and the distinct contents of blocks.
///
/// Hugging Face's tokenizers (0.20–0.23) match with Oniguruma's tables of Unicode 16, and so do we: a letter more or less
/// moves word boundaries and so changes ids. What was unassigned then is "other".
package struct CharacterClassTable: @unchecked Sendable {
  // Unchecked: the memory is written before the value is published, never after, and never freed.
  private let blocks: UnsafePointer<UInt16>
  private let contents: UnsafePointer<CharacterClass>

  package static let shared = CharacterClassTable()

  /// No letter, number or space stands at or beyond this scalar in that version.
  package static let limit: UInt32 = 0x32400

  private init() {
    let blockCount = Int(Self.limit) / 256
    let blocks = UnsafeMutablePointer<UInt16>.allocate(capacity: blockCount)
    var distinct: [[CharacterClass]: UInt16] = [:]
    var all: [CharacterClass] = []
    var run = 0
    for block in 0..<blockCount {
      let content = (0..<256).map { offset in
        while run + 1 < Self.runs.count, Self.runs[run + 1] >> 2 <= UInt32(block * 256 + offset) { run += 1 }
        return CharacterClass(rawValue: UInt8(Self.runs[run] & 3)) ?? .other
      }
      let index = distinct[content] ?? UInt16(distinct.count)
      if Int(index) == distinct.count {
        distinct[content] = index
        all += content
      }
      blocks[block] = index
    }
    let contents = UnsafeMutablePointer<CharacterClass>.allocate(capacity: all.count)
    contents.initialize(from: all, count: all.count)
    self.blocks = UnsafePointer(blocks)
    self.contents = UnsafePointer(contents)
  }

  @inline(__always)
  package subscript(scalar: UInt32) -> CharacterClass {
    guard scalar < Self.limit else { return .other }
    return contents[Int(blocks[Int(scalar >> 8)]) << 8 | Int(scalar & 255)]
  }
}
