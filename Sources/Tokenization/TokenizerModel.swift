/// The tables behind a ``Tokenizer``, built once and shared by its encoders.
final class TokenizerModel: Sendable {
  let preTokenizer: PreTokenizer
  let normalizesToNFC: Bool
  let merges: MergeTable
  /// All tokens by their bytes, where a word that is a token is not merged (`ignore_merges`).
  let wholeWords: TokenTable?
  let rawTokens: AddedTokenFinder
  let normalizedTokens: AddedTokenFinder
  let vocabulary: Vocabulary

  init(
    preTokenizer: PreTokenizer, normalizesToNFC: Bool, merges: MergeTable, wholeWords: TokenTable?,
    addedTokens: [AddedToken], vocabulary: Vocabulary
  ) {
    self.preTokenizer = preTokenizer
    self.normalizesToNFC = normalizesToNFC
    self.merges = merges
    self.wholeWords = wholeWords
    rawTokens = AddedTokenFinder(addedTokens.filter { !$0.normalized })
    normalizedTokens = AddedTokenFinder(addedTokens.filter(\.normalized))
    self.vocabulary = vocabulary
  }
}

/// What each id stands for. Ids may have holes.
struct Vocabulary: Sendable {
  private var bytes: [UInt8] = []
  private var ranges: [(start: UInt32, count: UInt32)] = []
  private var kinds: [Kind] = []

  enum Kind: UInt8 {
    case hole, plain, special
  }

  /// An id beyond this is taken for damage: a table of so many entries would be all holes.
  static let limit = 1 << 22

  /// The largest id + 1.
  var size: Int { kinds.count }

  func kind(of id: Int32) -> Kind {
    id >= 0 && id < kinds.count ? kinds[Int(id)] : .hole
  }

  /// The bytes of a token; none for an id without one.
  func bytes(of id: Int32) -> ArraySlice<UInt8> {
    guard id >= 0, id < ranges.count else { return [] }
    let range = ranges[Int(id)]
    return bytes[Int(range.start)..<Int(range.start + range.count)]
  }

  mutating func set(_ id: Int, to token: some Collection<UInt8>, kind: Kind) {
    if id >= kinds.count {
      kinds.append(contentsOf: repeatElement(.hole, count: id + 1 - kinds.count))
      ranges.append(contentsOf: repeatElement((start: 0, count: 0), count: id + 1 - ranges.count))
    }
    ranges[id] = (UInt32(bytes.count), UInt32(token.count))
    kinds[id] = kind
    bytes.append(contentsOf: token)
  }

  mutating func reserve(tokens: Int) {
    kinds.reserveCapacity(tokens)
    ranges.reserveCapacity(tokens)
    bytes.reserveCapacity(tokens * 8)
  }
}
