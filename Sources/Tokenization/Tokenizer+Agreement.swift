extension Tokenizer {
  /// Whether the ids of two tokenizers mean the same and a text becomes the same ids: else a model that has learned one
  /// kind can't go on with the other.
  package func agrees(with other: Tokenizer) -> Bool {
    let probe = "The quick brown fox's 1,234 jumps —\n\tüber naïve 狐狸 и лиса!"
    return (0..<Int32(clamping: min(vocabularySize, other.vocabularySize))).allSatisfy { token($0) == other.token($0) }
      && encode(probe, specialTokens: false) == other.encode(probe, specialTokens: false)
  }
}
