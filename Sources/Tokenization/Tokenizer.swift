package import Formats

/// A byte-level byte-pair tokenizer: text to ids and back, with nothing lost on the way.
///
/// It reads and writes Hugging Face's tokenizer.json, and its ids are those of Hugging Face's `tokenizers`. Copies
/// share their tables. ``Encoder`` is the faster way to encode many texts, since it remembers words.
///
/// Sennrich, Haddow & Birch, "Neural Machine Translation of Rare Words with Subword Units", arXiv:1508.07909.
package struct Tokenizer: Sendable {
  let model: TokenizerModel
  /// The tokenizer.json, with the parts that encoding does not need.
  private let document: JSON

  package let addedTokens: [AddedToken]
  /// The id that ends a document.
  package let endOfText: Int32?

  /// The names under which tokenizers have that token; the first one that is there counts.
  private static let endOfTextNames = ["<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "</s>", "<eos>"]

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

  package var pattern: SplitPattern { model.preTokenizer.pattern }

  /// The bytes that a token stands for; nil for an id without a token.
  package func token(_ id: Int32) -> [UInt8]? {
    model.vocabulary.kind(of: id) == .hole ? nil : Array(model.vocabulary.bytes(of: id))
  }

  /// The id of an added token by its text.
  package func id(ofAddedToken content: String) -> Int32? {
    addedTokens.first { $0.content == content }?.id
  }

  package func isSpecial(_ id: Int32) -> Bool { model.vocabulary.kind(of: id) == .special }

  /// How many bytes of text an id stands for; none for special tokens and for ids without a token.
  package func byteCount(_ id: Int32) -> Int {
    model.vocabulary.kind(of: id) == .plain ? model.vocabulary.bytes(of: id).count : 0
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

  /// The bytes of the tokens, one after the other. Ids without a token give nothing.
  package func decodeBytes(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecialTokens && isSpecial(id)) {
      bytes.append(contentsOf: model.vocabulary.bytes(of: id))
    }
    return bytes
  }

  /// The text of the tokens. Bytes that are no UTF-8 become U+FFFD, one for each sequence that was begun.
  package func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> String {
    String(decoding: decodeBytes(ids, skipSpecialTokens: skipSpecialTokens), as: UTF8.self)
  }
}
