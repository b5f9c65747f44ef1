/// Turns text into ids, with memory of the words it has met: one for each thread, kept for as long as there is text.
package final class Encoder {
  /// Chosen once for a text, so that no word pays for the choice.
  private enum Kind {
    case byteLevel(ByteLevelEncoder)
    case sentencePiece(SentencePieceEncoder)
    case wordPiece(WordPieceEncoder)
  }

  private let model: TokenizerModel
  private let kind: Kind

  package init(_ tokenizer: Tokenizer) {
    model = tokenizer.model
    switch model.kind {
    case .byteLevel(let byteLevel): kind = .byteLevel(ByteLevelEncoder(model, byteLevel))
    case .sentencePiece(let sentencePiece): kind = .sentencePiece(SentencePieceEncoder(sentencePiece))
    case .wordPiece(let wordPiece): kind = .wordPiece(WordPieceEncoder(wordPiece))
    }
  }

  /// The ids of a UTF-8 text, as Hugging Face's `encode` gives them with `add_special_tokens=False`.
  ///
  /// Bytes that are no UTF-8 are kept by byte-level BPE; for the other kinds they are U+FFFD.
  ///
  /// - Parameter specialTokens: whether the text `<|endoftext|>` stands for that token. Where the text is data, it is
  ///   text like any other, and so is that of every special token; added tokens that are not special are still found.
  package func encode(_ text: UnsafeRawBufferPointer, specialTokens: Bool) -> [Int32] {
    if case .byteLevel(let encoder) = kind { return encoder.encode(text, specialTokens: specialTokens) }
    var ids: [Int32] = []
    encode(text, specialTokens: specialTokens, into: &ids)
    return ids
  }

  /// Appends the ids of a text to others.
  package func encode(_ text: UnsafeRawBufferPointer, specialTokens: Bool, into ids: inout [Int32]) {
    switch kind {
    case .byteLevel(let encoder):
      encoder.encode(text, specialTokens: specialTokens, into: &ids)
    case .sentencePiece(let encoder):
      encodeCharacters(text, specialTokens: specialTokens, into: &ids) { encoder.encode($0, isStart: $1, into: &$2) }
    case .wordPiece(let encoder):
      encodeCharacters(text, specialTokens: specialTokens, into: &ids) { text, _, ids in
        encoder.encode(text, into: &ids)
      }
    }
  }

  package func encode(_ text: [UInt8], specialTokens: Bool) -> [Int32] {
    text.withUnsafeBytes { encode($0, specialTokens: specialTokens) }
  }

  package func encode(_ text: String, specialTokens: Bool) -> [Int32] {
    var text = text
    return text.withUTF8 { encode(UnsafeRawBufferPointer($0), specialTokens: specialTokens) }
  }

  /// For kinds that see characters, not bytes: what is no UTF-8 is repaired first.
  private func encodeCharacters(
    _ text: UnsafeRawBufferPointer, specialTokens: Bool, into ids: inout [Int32],
    _ encode: (UnsafeRawBufferPointer, _ isStart: Bool, inout [Int32]) -> Void
  ) {
    var text = String(decoding: text, as: UTF8.self)
    text.withUTF8 { text in
      model.split(UnsafeRawBufferPointer(text), specialTokens: specialTokens) { id in
        ids.append(id)
      } text: { text, isStart in
        encode(text, isStart, &ids)
      }
    }
  }
}
