import Tokenization

/// The words of a document, found in one pass: what the rules for quality and repetition, near duplicates and
/// contamination are computed from.
///
/// A word is a run of letters and digits; in scripts that write without spaces each character is one. Upper and lower case
/// are the same word. The buffers are kept from one document to the next.
struct DocumentWords {
  struct Word {
    var start: Int32
    var end: Int32
    var hash: UInt64
  }

  private(set) var words: [Word] = []
  /// What stands between white space, each ideograph by itself: "words" as Gopher's rules count them.
  private(set) var pieces = 0
  /// Characters in these.
  private(set) var pieceCharacters = 0
  /// Pieces with a letter.
  private(set) var piecesWithLetter = 0
  /// Characters of scripts without spaces: Han, kana, Thai, Lao, Khmer, Burmese.
  private(set) var unspaced = 0
  /// Letters of all scripts.
  private(set) var letters = 0
  /// # and …, also written as three dots.
  private(set) var symbols = 0

  /// Whether most of the text is written without spaces, so that lengths of words say nothing.
  var isUnspaced: Bool { unspaced * 2 > letters }

  /// - Parameter text: UTF-8 of less than 2 GiB.
  mutating func find(in text: UnsafeRawBufferPointer) {
    self = DocumentWords(keeping: words)
    var scan = Scan()
    var place = 0
    while place < text.count {
      let byte = text[place]
      if byte < 0x80 {
        ascii(byte, at: place, text, &scan)
        place += 1
      } else {
        place += wide(text, at: place, &scan)
      }
    }
    endWord(at: text.count, &scan)
    endPiece(&scan)
  }

  init() {}

  private init(keeping buffer: consuming [Word]) {
    words = buffer
    words.removeAll(keepingCapacity: true)
  }

  private struct Scan {
    var hash: UInt64 = 0
    var start: Int32 = -1
    var pieceLength = 0
    var hasLetter = false
  }

  @inline(__always)
  private mutating func ascii(_ byte: UInt8, at place: Int, _ text: UnsafeRawBufferPointer, _ scan: inout Scan) {
    let folded = byte | 0x20
    if folded &- UInt8(ascii: "a") < 26 {
      letter(UInt32(folded), at: place, &scan)
    } else if byte &- UInt8(ascii: "0") < 10 {
      character(UInt32(byte), at: place, &scan)
    } else {
      endWord(at: place, &scan)
      if byte == 0x20 || byte &- 0x09 < 5 {
        endPiece(&scan)
      } else {
        scan.pieceLength += 1
        if byte == UInt8(ascii: "#") { symbols += 1 }
        if byte == UInt8(ascii: "."), place >= 2, text[place - 1] == byte, text[place - 2] == byte { symbols += 1 }
      }
    }
  }

  /// - Returns: how many bytes the character has.
  private mutating func wide(_ text: UnsafeRawBufferPointer, at place: Int, _ scan: inout Scan) -> Int {
    let (scalar, width) = Self.scalar(text, at: place)
    if Self.isUnspaced(scalar) {
      endWord(at: place, &scan)
      endPiece(&scan)
      words.append(Word(start: Int32(place), end: Int32(place + width), hash: Self.mixed(0, scalar)))
      pieces += 1
      pieceCharacters += 1
      piecesWithLetter += 1
      unspaced += 1
      letters += 1
      return width
    }
    switch CharacterClassTable.shared[scalar] {
    case .letter: letter(Self.folded(scalar), at: place, &scan)
    case .number: character(scalar, at: place, &scan)
    case .space:
      endWord(at: place, &scan)
      endPiece(&scan)
    case .other:
      // Marks belong to the letter before them.
      if Self.isMark(scalar), scan.start >= 0 {
        character(scalar, at: place, &scan)
      } else {
        endWord(at: place, &scan)
        scan.pieceLength += 1
        if scalar == 0x2026 { symbols += 1 }
      }
    }
    return width
  }

  @inline(__always)
  private mutating func letter(_ scalar: UInt32, at place: Int, _ scan: inout Scan) {
    letters += 1
    scan.hasLetter = true
    character(scalar, at: place, &scan)
  }

  @inline(__always)
  private func character(_ scalar: UInt32, at place: Int, _ scan: inout Scan) {
    if scan.start < 0 {
      scan.start = Int32(place)
      scan.hash = 0
    }
    scan.hash = Self.mixed(scan.hash, scalar)
    scan.pieceLength += 1
  }

  @inline(__always)
  private mutating func endWord(at place: Int, _ scan: inout Scan) {
    guard scan.start >= 0 else { return }
    words.append(Word(start: scan.start, end: Int32(place), hash: scan.hash))
    scan.start = -1
  }

  @inline(__always)
  private mutating func endPiece(_ scan: inout Scan) {
    guard scan.pieceLength > 0 else { return }
    pieces += 1
    pieceCharacters += scan.pieceLength
    if scan.hasLetter { piecesWithLetter += 1 }
    scan.pieceLength = 0
    scan.hasLetter = false
  }

  // MARK: Sequences

  /// The hash of each sequence of n words, in order.
  @inline(__always)
  static func forEachSequence(of words: [Word], _ n: Int, _ body: (UInt64) -> Void) {
    let factor: UInt64 = 0x9E37_79B9_7F4A_7C15
    let leading = (1..<n).reduce(UInt64(1)) { product, _ in product &* factor }
    var hash: UInt64 = 0
    for (place, word) in words.enumerated() {
      if place >= n { hash = hash &- words[place - n].hash &* leading }
      hash = hash &* factor &+ word.hash
      if place >= n - 1 { body(hash) }
    }
  }

  // MARK: Characters

  @inline(__always)
  static func mixed(_ hash: UInt64, _ scalar: UInt32) -> UInt64 {
    let product = (hash ^ UInt64(scalar)) &* 0x9E37_79B9_7F4A_7C15
    return product ^ product >> 32
  }

  @inline(__always)
  static func scalar(_ text: UnsafeRawBufferPointer, at place: Int) -> (scalar: UInt32, width: Int) {
    let lead = text[place]
    let width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1
    guard width > 1, place + width <= text.count else { return (0xFFFD, 1) }
    var scalar = UInt32(lead) & (0xFF >> UInt32(width + 1))
    for offset in 1..<width { scalar = scalar << 6 | UInt32(text[place + offset] & 0x3F) }
    return (scalar, width)
  }

  /// Whether a character is of a script that puts no spaces between words.
  @inline(__always)
  static func isUnspaced(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x4E00...0x9FFF, 0x3041...0x3096, 0x30A1...0x30FA, 0x3400...0x4DBF, 0x20000...0x3FFFD, 0xF900...0xFAFF,
      0x31F0...0x31FF,
      0x0E01...0x0EDF, 0x1000...0x109F, 0x1780...0x17FF, 0x3005...0x3007, 0x30FC...0x30FE:
      true
    default: false
    }
  }

  static func isLetter(_ scalar: UInt32) -> Bool {
    isUnspaced(scalar) || CharacterClassTable.shared[scalar] == .letter || isMark(scalar)
  }

  private static func isMark(_ scalar: UInt32) -> Bool {
    if (0x300...0x36F).contains(scalar) { return true }
    guard scalar >= 0x483, scalar < 0x2000 else { return false }
    switch Unicode.Scalar(scalar)?.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: return true
    default: return false
    }
  }

  /// Lower case, of the letters of Europe.
  static func folded(_ scalar: UInt32) -> UInt32 {
    switch scalar {
    case 0xC0...0xDE, 0x391...0x3A9, 0x410...0x42F: scalar + 32
    case 0x400...0x40F: scalar + 80
    case 0x100...0x137, 0x14A...0x177: scalar | 1
    default: scalar
    }
  }
}
