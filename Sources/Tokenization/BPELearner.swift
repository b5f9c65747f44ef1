/// Learns a byte-level vocabulary: the most frequent pair of adjacent tokens becomes a token, again and again.
///
/// Ids are those of Hugging Face's `BpeTrainer` on the same texts with the whole byte alphabet: special tokens first,
/// then the 256 bytes in the order of their characters, then the merges; of pairs that are equally frequent the one
/// with the lower ids is merged first.
///
/// Gage, "A New Algorithm for Data Compression", C Users Journal 12(2), 1994; Sennrich et al., arXiv:1508.07909.
package struct BPELearner: Sendable {
  package let vocabularySize: Int
  package let specialTokens: [String]
  /// Pairs that are rarer are not merged.
  package let minimumFrequency: UInt64

  package static let endOfText = "<|endoftext|>"

  /// - Throws: ``TokenizationError/vocabularyTooSmall(asked:minimum:)``.
  package init(
    vocabularySize: Int, specialTokens: [String] = [BPELearner.endOfText], minimumFrequency: UInt64 = 1
  ) throws(TokenizationError) {
    guard vocabularySize >= 256 + specialTokens.count else {
      throw .vocabularyTooSmall(asked: vocabularySize, minimum: 256 + specialTokens.count)
    }
    guard vocabularySize <= Vocabulary.limit else {
      throw .vocabularyTooLarge(asked: vocabularySize, maximum: Vocabulary.limit)
    }
    self.vocabularySize = vocabularySize
    self.specialTokens = specialTokens
    self.minimumFrequency = max(minimumFrequency, 1)
  }

  /// - Parameter progress: told the size of the vocabulary now and then; returns false to stop with what there is.
  /// - Returns: a tokenizer of at most the size asked for: of fewer tokens where the text has no more pairs to merge.
  package func learn(
    from counts: WordCounts, progress: (Int) -> Bool = { _ in true }
  ) throws(TokenizationError) -> Tokenizer {
    // The queue numbers the places of all words in 32 bits.
    guard counts.bytes.count + counts.count < UInt32.max else {
      throw .tooManyWords(bytes: counts.bytes.count + counts.count)
    }
    let first = Int32(specialTokens.count)
    var byteTokens = [Int32](repeating: 0, count: 256)
    for (index, byte) in ByteAlphabet.bytesInOrder.enumerated() { byteTokens[Int(byte)] = first + Int32(index) }

    var tokens: [[UInt8]] = ByteAlphabet.bytesInOrder.map { [$0] }
    var ids = TokenTable(capacity: vocabularySize)
    for (index, token) in tokens.enumerated() { token.withUnsafeBytes { ids.insert($0, id: first + Int32(index)) } }

    var merges: [(left: Int32, right: Int32, merged: Int32)] = []
    var pairs = PairQueue(counts, byteTokens: byteTokens)
    while tokens.count + specialTokens.count < vocabularySize,
      let pair = pairs.popMostFrequent(atLeast: minimumFrequency)
    {
      let bytes = tokens[Int(pair.left - first)] + tokens[Int(pair.right - first)]
      // Should two pairs spell the same token, it has one id.
      let known = bytes.withUnsafeBytes { ids.id(of: $0) }
      let merged = known ?? first + Int32(tokens.count)
      if known == nil {
        bytes.withUnsafeBytes { ids.insert($0, id: merged) }
        tokens.append(bytes)
      }
      merges.append((pair.left, pair.right, merged))
      pairs.merge(pair, into: merged, length: bytes.count)
      if merges.count % 64 == 0, !progress(tokens.count + specialTokens.count) { break }
    }
    return try tokenizer(tokens: tokens, merges: merges, pattern: counts.pattern)
  }

  private func tokenizer(
    tokens: [[UInt8]], merges: [(left: Int32, right: Int32, merged: Int32)], pattern: SplitPattern
  ) throws(TokenizationError) -> Tokenizer {
    let texts = specialTokens + tokens.map { ByteAlphabet.text(of: $0) }
    let lines = merges.map { texts[Int($0.left)] + " " + texts[Int($0.right)] }
    return try Tokenizer(tokens: texts, merges: lines, specialTokens: specialTokens, pattern: pattern)
  }
}

@inline(__always)
func pairKey(_ left: Int32, _ right: Int32) -> UInt64 {
  UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
}
