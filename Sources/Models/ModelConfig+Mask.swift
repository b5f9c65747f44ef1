package import Tokenization

extension ModelConfig {
  /// BERT's mask, where neither a tokenizer nor config.json says another.
  private static let bertMaskToken = 103

  /// The mask of a model that fills in tokens: its tokenizer's, else what its config says; nil if nothing does.
  package func maskToken(_ tokenizer: Tokenizer?) -> Int32? {
    if let mask = tokenizer?.maskToken { return mask }
    let mask = maskTokenID ?? (architecture == .bert ? Self.bertMaskToken : -1)
    return (0..<vocabularySize).contains(mask) ? Int32(mask) : nil
  }
}
