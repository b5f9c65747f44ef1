package import Formats

/// Text to ids and back: byte-level BPE, with which nothing is lost on the way, SentencePiece's BPE of characters, or
/// WordPiece, which forgets whitespace and, if it says so, capitals and accents.
///
/// It reads and writes Hugging Face's tokenizer.json, and its ids are those of Hugging Face's `tokenizers`; what the file
/// says of truncation and padding is left to whoever makes batches. Copies share their tables. ``Encoder`` is the faster
/// way to encode many texts, since it remembers words.
///
/// Sennrich, Haddow & Birch, "Neural Machine Translation of Rare Words with Subword Units", arXiv:1508.07909. The other
/// kinds: ``SentencePieceModel``, ``WordPieceModel``.
package struct Tokenizer: Sendable {
  let model: TokenizerModel
  /// The tokenizer.json, with the parts that encoding does not need.
  private let document: JSON

  package let addedTokens: [AddedToken]
  /// The id that ends a document.
  package let endOfText: Int32?

  /// The names under which tokenizers have that token; the first one that is there counts.
  private static let endOfTextNames = ["<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "</s>", "<eos>", "[SEP]"]

  init(model: TokenizerModel, addedTokens: [AddedToken], document: JSON) {
    self.model = model
    self.addedTokens = addedTokens
    self.document = document
    endOfText = Self.endOfTextNames.lazy.compactMap { name in addedTokens.first { $0.content == name }?.id }.first
  }

  /// The tokenizer.json of this tokenizer.
  package func json() -> JSON { document }

  // MARK: Vocabulary

  /// The largest id + 1: the rows of an embedding table. Some ids below may be without a token.
  package var vocabularySize: Int { model.vocabulary.size }

  /// How byte-level BPE cuts words; ``SplitPattern/none`` for other kinds.
  package var pattern: SplitPattern {
    if case .byteLevel(let model) = model.kind { model.preTokenizer.pattern } else { .none }
  }

  /// Whether any bytes come back as they were.
  package var isByteLevel: Bool {
    if case .byteLevel = model.kind { true } else { false }
  }

  /// The bytes that a token stands for behind others, with the space before a word; nil for an id without a token.
  package func token(_ id: Int32) -> [UInt8]? {
    let bytes = model.vocabulary.bytes(of: id)
    return switch model.vocabulary.kind(of: id) {
    case .hole: nil
    case .special: Array(bytes)
    case .plain: model.decoding?.text(of: bytes) ?? Array(bytes)
    }
  }

  /// The id of an added token by its text.
  package func id(ofAddedToken content: String) -> Int32? {
    addedTokens.first { $0.content == content }?.id
  }

  package func isSpecial(_ id: Int32) -> Bool { model.vocabulary.kind(of: id) == .special }

  /// How many bytes of text an id stands for; none for special tokens and for ids without a token.
  ///
  /// With byte-level BPE the counts of a text's tokens add up to its bytes, and with SentencePiece's to one more for the
  /// space that the text gets in front. WordPiece forgets the text, so that its counts are an estimate: each token's own
  /// bytes, and one for the space before a word, but none before punctuation and Chinese characters, which mostly follow
  /// without. They count the normalized text (accents and capitals gone), and the unknown token, which is special, as
  /// nothing: compare bits per byte between WordPiece models of one tokenizer only.
  package func byteCount(_ id: Int32) -> Int {
    guard model.vocabulary.kind(of: id) == .plain else { return 0 }
    guard model.decoding != nil, let text = token(id) else { return model.vocabulary.bytes(of: id).count }
    if case .wordPiece = model.kind, text.first == 0x20, WordPieceModel.standsAlone(text.dropFirst()) {
      return text.count - 1
    }
    return text.count
  }

  // MARK: Encoding

  /// See ``Encoder/encode(_:specialTokens:)-(UnsafeRawBufferPointer,_)``.
  package func encode(_ text: UnsafeRawBufferPointer, specialTokens: Bool) -> [Int32] {
    Encoder(self).encode(text, specialTokens: specialTokens)
  }

  package func encode(_ text: [UInt8], specialTokens: Bool) -> [Int32] {
    Encoder(self).encode(text, specialTokens: specialTokens)
  }

  package func encode(_ text: String, specialTokens: Bool) -> [Int32] {
    Encoder(self).encode(text, specialTokens: specialTokens)
  }

  // MARK: Decoding

  /// The bytes of the tokens' text, as Hugging Face's `decode` gives it. Ids without a token give nothing.
  package func decodeBytes(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    var decoder = model.decoding.map { TokenTextDecoder($0) }
    for id in ids where !(skipSpecialTokens && isSpecial(id)) && model.vocabulary.kind(of: id) != .hole {
      let token = model.vocabulary.bytes(of: id)
      bytes += decoder?.append(token)[...] ?? token
    }
    bytes += decoder?.finish() ?? []
    return bytes
  }

  /// The text of the tokens. Bytes that are no UTF-8 become U+FFFD, one for each sequence that was begun.
  package func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> String {
    String(decoding: decodeBytes(ids, skipSpecialTokens: skipSpecialTokens), as: UTF8.self)
  }
}
