import Foundation

/// What a decoder of ``Preset/decoder(width:batchSize:)`` reaches on text that it has not seen, in bits per token:
///
///   L(N, D) = H(D) · (E + A·N^−α + B·D^−β)
///
/// N: parameters of the layers' matrices, D: tokens that count, both in millions; H: what a counting model makes of the
/// same text (``TextDifficulty``), which stands for what differs from text to text, and for what no model learns.
/// The form in brackets is that of Hoffmann et al., "Training Compute-Optimal Large Language Models", arXiv:2203.15556,
/// equation 2; α is near theirs, the other constants were fitted by Benchmarks/scaling.py on docs/scaling.jsonl.
package struct ScalingLaw: Sendable {
  static let irreducible = 0.828
  static let ofParameters = (factor: 0.0635, exponent: 0.3)
  static let ofData = (factor: 0.0113, exponent: 1.0)
  /// Of updates whose noise isn't known.
  static let usualCriticalBatch = 4096.0

  package let difficulty: TextDifficulty
  /// Tokens of the training split.
  package let trainTokens: Double
  /// Tokens per update at which half of the tokens are as good as lost: McCandlish et al., arXiv:1812.06162, equation 2.11.
  package let criticalBatch: Double

  package init(_ difficulty: TextDifficulty, trainTokens: Int, noise: GradientNoise? = nil) {
    self.difficulty = difficulty
    self.trainTokens = Double(max(1, trainTokens))
    // A moment's training finds less noise than most of the run has.
    criticalBatch = noise.map { max($0.scale, 1024) } ?? Self.usualCriticalBatch
  }

  /// - Parameters:
  ///   - parameters: those of the layers' matrices.
  ///   - tokens: that are trained on, repeated ones included.
  ///   - batchTokens: of one update.
  package func bitsPerToken(parameters: Int, tokens: Double, batchTokens: Int) -> Double {
    let useful = Self.usefulTokens(tokens, of: trainTokens) / (1 + Double(batchTokens) / criticalBatch)
    let (N, D) = (Double(parameters) / 1e6, useful / 1e6)
    return difficulty.bitsPerToken(tokens: useful)
      * (Self.irreducible + Self.ofParameters.factor * pow(N, -Self.ofParameters.exponent)
        + Self.ofData.factor * pow(D, -Self.ofData.exponent))
  }

  /// What repeated tokens are worth in new ones: the first pass all, later ones less and less.
  ///
  /// Muennighoff et al., "Scaling Data-Constrained Language Models", arXiv:2305.16264, equation 5 and R*_D.
  package static func usefulTokens(_ tokens: Double, of there: Double) -> Double {
    let repetitions = max(0, tokens / there - 1), worth = 15.4
    return min(tokens, there) + there * worth * (1 - exp(-repetitions / worth))
  }
}
