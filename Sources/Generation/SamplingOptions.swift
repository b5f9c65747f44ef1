/// How the next token is chosen from the logits.
package struct SamplingOptions: Sendable, Equatable {
  /// Logits are divided by it; 0 always takes the most likely token.
  package var temperature: Double = 1
  /// Only the k most likely; 0: all. Fan et al., arXiv:1805.04833.
  package var topK = 0
  /// Only the fewest tokens whose probabilities reach p together. Holtzman et al., arXiv:1904.09751.
  package var topP: Double = 1
  /// Only tokens at least p times as likely as the most likely one. Nguyen et al., arXiv:2407.01082.
  package var minP: Double = 0
  /// Logits of tokens seen before are divided (positive) or multiplied (negative) by it. Keskar et al.,
  /// arXiv:1909.05858, section 4.1.
  package var repetitionPenalty: Double = 1
  package var seed: UInt64 = 0

  package init() {}
}
