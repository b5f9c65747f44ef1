/// Byte-pair encoding of characters, as SentencePiece's BPE models have it: Llama 2, Mistral, Gemma.
///
/// Spaces are "▁". A character that is no token becomes the tokens of its bytes (`byte_fallback`), else the unknown token.
///
/// Kudo & Richardson, "SentencePiece", arXiv:1808.06226; Sennrich, Haddow & Birch, arXiv:1508.07909.
struct SentencePieceModel: Sendable {
  var metaspace: Metaspace?
  let tokens: TokenTable
  let merges: MergeTable
  /// The tokens <0x00>…<0xFF>, where they stand for bytes; some may be missing.
  let byteTokens: [Int32?]
  /// Nil: unknown characters are left out.
  let unknown: Int32?
  /// Whether unknown characters in a row are one unknown token.
  let fusesUnknown: Bool
  /// Whether a text that is a token is not merged (`ignore_merges`).
  let ignoresMerges: Bool
  /// Whether words may be merged apart from each other: no merge reaches over the border before a "▁".
  let cutsAtMarks: Bool

  /// The token of a character, in UTF-8.
  @inline(__always)
  func token(of character: UnsafeRawBufferPointer) -> Int32? { tokens.id(of: character) }

  /// Appends the tokens of a word's characters, before any merge.
  func appendCharacters(of word: UnsafeRawBufferPointer, to ids: inout [Int32]) {
    var place = 0
    // The unknown token waits for what follows, as in Hugging Face's: behind it come the bytes of other characters.
    var pending: Int32?
    while place < word.count {
      let character = UnsafeRawBufferPointer(rebasing: word[place..<place + decodedScalar(in: word, at: place).width])
      place += character.count
      if let id = token(of: character) {
        if let unknown = pending { ids.append(unknown) }
        pending = nil
        ids.append(id)
      } else if !appendBytes(of: character, to: &ids), let unknown {
        if !fusesUnknown, let unknown = pending { ids.append(unknown) }
        pending = unknown
      }
    }
    if let unknown = pending { ids.append(unknown) }
  }

  /// Appends the tokens of a character's bytes; false, and nothing appended, if there aren't all of them.
  private func appendBytes(of character: UnsafeRawBufferPointer, to ids: inout [Int32]) -> Bool {
    guard !byteTokens.isEmpty, character.allSatisfy({ byteTokens[Int($0)] != nil }) else { return false }
    for byte in character { if let id = byteTokens[Int(byte)] { ids.append(id) } }
    return true
  }

  /// The text of the token that stands for a byte.
  static func byteToken(_ byte: UInt8) -> String {
    "<0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) + ">"
  }
}

/// SentencePiece's BPE with memory of the words it has met.
final class SentencePieceEncoder {
  private let model: SentencePieceModel
  private var merger: WordMerger
  private var memory = WordMemory()
  private var characters: [Int32] = []

  init(_ model: SentencePieceModel) {
    self.model = model
    merger = WordMerger(table: model.merges)
  }

  /// Appends the ids of normalized text.
  func encode(_ text: UnsafeRawBufferPointer, isStart: Bool, into ids: inout [Int32]) {
    guard let metaspace = model.metaspace else { return encodeWord(text, into: &ids) }
    metaspace.marked(text, isStart: isStart).withUnsafeBytes { text in
      if metaspace.cutsWords {
        Metaspace.forEachPart(of: text, mark: metaspace.mark, togetherIfRun: false) { encodeWord($0, into: &ids) }
      } else {
        encodeWord(text, into: &ids)
      }
    }
  }

  private func encodeWord(_ word: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    if model.ignoresMerges, let id = model.tokens.id(of: word) {
      ids.append(id)
    } else if model.cutsAtMarks {
      Metaspace.forEachPart(of: word, mark: Metaspace.usualMark, togetherIfRun: true) { part in
        memory.append(part, to: &ids) { appendMerged(part, to: &$0) }
      }
    } else {
      memory.append(word, to: &ids) { appendMerged(word, to: &$0) }
    }
  }

  private func appendMerged(_ word: UnsafeRawBufferPointer, to ids: inout [Int32]) {
    characters.removeAll(keepingCapacity: true)
    model.appendCharacters(of: word, to: &characters)
    let count = merger.merge(tokens: characters)
    ids.append(contentsOf: UnsafeBufferPointer(start: merger.tokens, count: count))
  }
}
