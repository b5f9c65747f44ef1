/// Cuts text that is tokens already into other tokens, at random: words that are always cut alike are learned by heart
/// sooner.
///
/// At each step of a word's merging every merge that is possible is left out with some probability; when none is left, the
/// word is done. Provilkov et al., "BPE-Dropout: Simple and Effective Subword Regularization", arXiv:1910.13267,
/// algorithm 1.
package final class BPEDropout {
  private let model: ByteLevelModel
  private let vocabulary: Vocabulary
  /// Tokens that are no product of merges: special and added ones.
  private let whole: Set<Int32>
  /// Of 2³².
  private let threshold: UInt64
  private var merger: WordMerger
  private var bytes: [UInt8] = []

  /// - Parameter rate: the probability that a merge is left out, in 0...1.
  /// - Throws: ``TokenizationError/notByteLevel(_:)``: only bytes always come back from other tokens.
  package init(_ tokenizer: Tokenizer, rate: Double) throws(TokenizationError) {
    guard case .byteLevel(let byteLevel) = tokenizer.model.kind else { throw .notByteLevel("BPE-dropout") }
    model = byteLevel
    vocabulary = tokenizer.model.vocabulary
    whole = Set(tokenizer.addedTokens.map(\.id))
    threshold = UInt64(min(1, max(0, rate)) * 0x1p32)
    merger = WordMerger(table: model.merges)
  }

  /// Replaces `result` by tokens of the same text.
  package func encode(
    _ tokens: [Int32], into result: inout [Int32], using chance: inout some RandomNumberGenerator
  ) {
    result.removeAll(keepingCapacity: true)
    bytes.removeAll(keepingCapacity: true)
    for token in tokens {
      guard vocabulary.kind(of: token) != .plain || whole.contains(token) else {
        bytes.append(contentsOf: vocabulary.bytes(of: token))
        continue
      }
      encodeBytes(into: &result, using: &chance)
      result.append(token)
    }
    encodeBytes(into: &result, using: &chance)
  }

  private func encodeBytes(into result: inout [Int32], using chance: inout some RandomNumberGenerator) {
    bytes.withUnsafeBytes { text in
      model.preTokenizer.forEachWord(in: text) { range in
        let word = UnsafeRawBufferPointer(rebasing: text[range])
        let count = merger.merge(word, leavingOut: threshold, using: &chance)
        result.append(contentsOf: UnsafeBufferPointer(start: merger.tokens, count: count))
      }
    }
    bytes.removeAll(keepingCapacity: true)
  }
}
