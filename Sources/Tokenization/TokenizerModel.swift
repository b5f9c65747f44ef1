/// The tables behind a ``Tokenizer``, built once and shared by its encoders.
final class TokenizerModel: Sendable {
  /// How the text between added tokens becomes ids.
  enum Kind: Sendable {
    case byteLevel(ByteLevelModel)
    case sentencePiece(SentencePieceModel)
    case wordPiece(WordPieceModel)
  }

  let kind: Kind
  let normalizer: TextNormalizer
  /// How tokens become text; nil where a token's bytes are its text.
  let decoding: TokenDecoding?
  let vocabulary: Vocabulary
  private let rawTokens: AddedTokenFinder
  private let normalizedTokens: AddedTokenFinder

  init(
    kind: Kind, normalizer: TextNormalizer, decoding: TokenDecoding?, addedTokens: [AddedToken], vocabulary: Vocabulary
  ) {
    self.kind = kind
    self.normalizer = normalizer
    self.decoding = decoding
    self.vocabulary = vocabulary
    rawTokens = AddedTokenFinder(addedTokens.filter { !$0.normalized })
    normalizedTokens = AddedTokenFinder(addedTokens.filter(\.normalized), normalizer: normalizer)
  }

  /// Hands over, in order, the added tokens of a text and the normalized text between them.
  ///
  /// First those tokens count that stand in the raw text, then, between these, those of the normalized text.
  ///
  /// - Parameter text: is told whether its text begins where the whole text does.
  func split(
    _ whole: UnsafeRawBufferPointer, specialTokens: Bool, token: (Int32) -> Void,
    text: (UnsafeRawBufferPointer, _ isStart: Bool) -> Void
  ) {
    rawTokens.split(whole, specialTokens: specialTokens, token: token) { piece, isStart in
      if let normalized = normalizer.normalized(piece) {
        normalized.withUnsafeBytes { normalized in
          normalizedTokens.split(normalized, specialTokens: specialTokens, token: token) { text($0, isStart && $1) }
        }
      } else {
        normalizedTokens.split(piece, specialTokens: specialTokens, token: token) { text($0, isStart && $1) }
      }
    }
  }
}

/// Byte-level BPE: text is cut into words by a pattern, and the bytes of each are merged.
final class ByteLevelModel: Sendable {
  let preTokenizer: PreTokenizer
  let merges: MergeTable
  /// All tokens by their bytes, where a word that is a token is not merged (`ignore_merges`).
  let wholeWords: TokenTable?
  /// Where words fall into pieces; nil where a word may be a token that merges don't give.
  let boundaries: MergeBoundaries?

  init(preTokenizer: PreTokenizer, merges: MergeTable, boundaries: MergeBoundaries) {
    self.preTokenizer = preTokenizer
    self.merges = merges
    (wholeWords, self.boundaries) = (nil, boundaries)
  }

  init(preTokenizer: PreTokenizer, merges: MergeTable, wholeWords: TokenTable) {
    self.preTokenizer = preTokenizer
    self.merges = merges
    (self.wholeWords, boundaries) = (wholeWords, nil)
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
