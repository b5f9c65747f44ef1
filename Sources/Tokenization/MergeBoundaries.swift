/// Where no merge can reach across two characters of a word, so that what stands before and behind is encoded by itself.
///
/// A merge across a place makes a token that holds the bytes on both sides of it. Between two characters that stand side by
/// side in no token, nothing merges: a clause of Chinese, a word for the patterns, falls into pieces of a few characters,
/// which are short and come again. Places inside of ASCII aren't looked at: nearly all of its pairs are in some token.
struct MergeBoundaries: Sendable {
  /// Hashes of two whole characters that are side by side in a token. Two that share a hash with others only stay together for
  /// nothing.
  private var pairs = BitSet(count: 1 << Int(Self.pairBits))
  /// (last byte of a character << 8 | first byte of the next one) of tokens that begin or end inside of one of the two.
  private var edges = BitSet(count: 1 << 16)

  private static let pairBits: UInt64 = 20

  /// - Parameter tokens: the bytes of everything that merges give.
  init(tokens: some Sequence<ArraySlice<UInt8>>) {
    for token in tokens { token.withUnsafeBytes { add($0) } }
  }

  private mutating func add(_ token: UnsafeRawBufferPointer) {
    for place in 1..<max(token.count, 1) where token[place] & 0xC0 != 0x80 {
      guard token[place - 1] | token[place] >= 0x80 else { continue }
      if let left = Self.character(endingAt: place, of: token), let right = Self.character(at: place, of: token) {
        pairs.insert(Self.hash(left, right.key))
      } else {
        edges.insert(Self.edge(at: place, of: token))
      }
    }
  }

  /// Hands over the pieces of a word, in order; together they are the word.
  @inline(__always)
  func forEachPiece(of text: UnsafeRawBufferPointer, _ word: Range<Int>, _ body: (Range<Int>) -> Void) {
    var start = word.lowerBound
    var place = start
    // The character before; 0 where it isn't whole, and then nothing is cut there.
    var before: UInt32 = 0
    while place < word.upperBound {
      guard let (key, width) = Self.character(at: place, of: text), place + width <= word.upperBound else {
        before = 0
        place += 1
        continue
      }
      if before != 0, before | key >= 0x80, !reaches(across: place, of: text, before, key) {
        body(start..<place)
        start = place
      }
      before = key
      place += width
    }
    body(start..<word.upperBound)
  }

  @inline(__always)
  private func reaches(across place: Int, of text: UnsafeRawBufferPointer, _ left: UInt32, _ right: UInt32) -> Bool {
    pairs[Self.hash(left, right)] || edges[Self.edge(at: place, of: text)]
  }

  @inline(__always)
  private static func hash(_ left: UInt32, _ right: UInt32) -> Int {
    Int(truncatingIfNeeded: mixed(UInt64(left) << 32 | UInt64(right)) >> (64 - pairBits))
  }

  @inline(__always)
  private static func edge(at place: Int, of text: UnsafeRawBufferPointer) -> Int {
    Int(text[place - 1]) << 8 | Int(text[place])
  }

  /// A whole, well-formed character that begins at a place: its bytes as a number, never 0, and how many they are.
  @inline(__always)
  private static func character(at place: Int, of text: UnsafeRawBufferPointer) -> (key: UInt32, width: Int)? {
    let lead = text[place]
    // NUL isn't told from no character.
    if lead < 0x80 { return lead == 0 ? nil : (UInt32(lead), 1) }
    let width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
    guard lead >= 0xC0, place + width <= text.count else { return nil }
    var key = UInt32(lead)
    for offset in 1..<width {
      let byte = text[place + offset]
      guard byte & 0xC0 == 0x80 else { return nil }
      key = key << 8 | UInt32(byte)
    }
    return (key, width)
  }

  /// The whole character that ends before a place.
  private static func character(endingAt place: Int, of text: UnsafeRawBufferPointer) -> UInt32? {
    for start in stride(from: place - 1, through: max(0, place - 4), by: -1) where text[start] & 0xC0 != 0x80 {
      guard let (key, width) = character(at: start, of: text), start + width == place else { return nil }
      return key
    }
    return nil
  }
}
