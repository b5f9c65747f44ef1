/// WordPiece, as BERT's: a word is cut into the longest tokens from left to right; one that can't be is unknown.
///
/// Schuster & Nakajima, "Japanese and Korean Voice Search", ICASSP 2012; Devlin et al., "BERT", arXiv:1810.04805.
struct WordPieceModel: Sendable {
  /// Tokens that begin a word.
  private let first: TokenTable
  /// Tokens inside of a word, without the prefix that marks them.
  private let continuing: TokenTable
  private let unknown: Int32
  /// A word of more characters is unknown.
  private let longestWord: Int
  /// The bytes of the longest token.
  private let longestToken: Int

  init(first: TokenTable, continuing: TokenTable, unknown: Int32, longestWord: Int, longestToken: Int) {
    self.first = first
    self.continuing = continuing
    self.unknown = unknown
    self.longestWord = longestWord
    self.longestToken = longestToken
  }

  /// Appends the tokens of a word.
  func encode(_ word: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    let count = ids.count
    guard word.lazy.filter({ !isContinuation($0) }).count <= longestWord else { return ids.append(unknown) }
    var start = 0
    while start < word.count {
      let table = start == 0 ? first : continuing
      var end = min(word.count, start + longestToken)
      var found: Int32?
      while end > start {
        let isWhole = end == word.count || !isContinuation(word[end])
        if isWhole { found = table.id(of: UnsafeRawBufferPointer(rebasing: word[start..<end])) }
        if found != nil { break }
        end -= 1
      }
      guard let found else {
        ids.removeLast(ids.count - count)
        return ids.append(unknown)
      }
      ids.append(found)
      start = end
    }
  }

  /// The words of a text: between whitespace, each punctuation mark alone.
  @inline(__always)
  static func forEachWord(in text: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
    var start = 0
    var place = 0
    func end() {
      if start < place { body(UnsafeRawBufferPointer(rebasing: text[start..<place])) }
    }
    while place < text.count {
      let (scalar, width) = decodedScalar(in: text, at: place)
      let character = scalar < 0x80 ? ascii[Int(scalar)] : BertCharacters.shared[scalar]
      if character.isDisjoint(with: [.space, .punctuation]) {
        place += width
        continue
      }
      end()
      start = place
      place += width
      if character.contains(.punctuation) { end() }
      start = place
    }
    end()
  }

  /// Whether BERT cuts before a text's first character without a space: punctuation and Chinese.
  static func standsAlone(_ text: some Collection<UInt8>) -> Bool {
    let character = Array(text.prefix(4)).withUnsafeBytes { text in
      text.isEmpty ? [] : BertCharacters.shared[decodedScalar(in: text, at: 0).scalar]
    }
    return !character.isDisjoint(with: [.punctuation, .chinese])
  }

  /// The characters of ASCII, which need no large table.
  private static let ascii: [BertCharacter] = (UInt8.min..<0x80).map { byte in
    switch asciiClass(byte) {
    case .space: .space
    case .other: byte > 0x20 && byte < 0x7F ? .punctuation : []
    case .letter, .number: []
    }
  }
}

@inline(__always)
private func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

/// WordPiece with memory of the words it has met.
final class WordPieceEncoder {
  private let model: WordPieceModel
  private var memory = WordMemory()

  init(_ model: WordPieceModel) { self.model = model }

  /// Appends the ids of normalized text.
  func encode(_ text: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    WordPieceModel.forEachWord(in: text) { word in
      memory.append(word, to: &ids) { model.encode(word, into: &$0) }
    }
  }
}
