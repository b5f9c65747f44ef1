import Foundation

/// What a decoder of ``Preset/decoder(width:batchSize:)`` reaches on text that it has not seen, in bits per token:
///
///   L(N, D) = H(S) · (B·(1 + D/D₀)^(−β·s) + A·s·(D^δ / N)^α)
///
/// N: parameters of the layers' matrices that count, D: tokens that count, S: tokens of the text that were met, all in
/// millions; H: what a counting model makes of the same text (``TextDifficulty``) from S tokens, which stands for what
/// differs from text to text, and for what no model learns; s: how steeply H falls at the text's end, which is how much
/// there is to learn by more of it. The first term is what data teach beyond counting, little as long as there are few; the
/// second what a model has no room for. As in Hoffmann et al., "Training Compute-Optimal Large Language Models",
/// arXiv:2203.15556, equation 2, α is near 0.3 and the best N grows about as D. The other constants were fitted by
/// Benchmarks/scaling.py on docs/scaling.jsonl and docs/plan-grid.jsonl: docs/scaling.md.
package struct ScalingLaw: Sendable {
  static let ofData = (factor: 0.8858, tokens: 0.7257, exponent: 1.2486)
  static let ofRoom = (factor: 0.938, tokens: 0.6, exponent: 0.3)
  /// All repetitions of a text together are worth so many of it.
  static let worthOfRepetitions = 1.1921
  /// So many parameters for each token of a text are of use; larger models learn no more of it: docs/experiments.md.
  static let parametersPerToken = 10.0
  /// A run of so many updates has half of its tokens for nothing.
  static let fewUpdates = 100.0

  package let difficulty: TextDifficulty
  /// Tokens of the training split.
  package let trainTokens: Double
  private let noise: GradientNoise?
  private let steepness: Double

  package init(_ difficulty: TextDifficulty, trainTokens: Int, noise: GradientNoise? = nil) {
    self.difficulty = difficulty
    self.trainTokens = Double(max(1, trainTokens))
    self.noise = noise
    steepness = difficulty.steepness(tokens: self.trainTokens)
  }

  var usefulParameters: Double { Self.parametersPerToken * trainTokens }

  /// Tokens per update at which half of a run's tokens are as good as lost: McCandlish et al., arXiv:1812.06162, equation
  /// 2.11. A moment's training finds less noise than most of a run has: it grows with the tokens.
  func criticalBatch(tokens: Double) -> Double { max(noise?.scale ?? 0, tokens / Self.fewUpdates) }

  /// - Parameters:
  ///   - parameters: those of the layers' matrices.
  ///   - tokens: that are trained on, repeated ones included.
  ///   - batchTokens: of one update.
  package func bitsPerToken(parameters: Int, tokens: Double, batchTokens: Int) -> Double {
    let share = 1 / (1 + Double(batchTokens) / criticalBatch(tokens: tokens))
    let N = min(Double(parameters), usefulParameters) / 1e6
    let D = share * Self.usefulTokens(tokens, of: trainTokens) / 1e6
    // A model's first pass teaches less than counting does, and later ones the rest: as if tokens were drawn by chance.
    let met = trainTokens * (1 - exp(-share * tokens / trainTokens))
    return difficulty.bitsPerToken(tokens: met)
      * (Self.ofData.factor * pow(1 + D / Self.ofData.tokens, -Self.ofData.exponent * steepness)
        + Self.ofRoom.factor * steepness * pow(pow(D, Self.ofRoom.tokens) / N, Self.ofRoom.exponent))
  }

  /// What repeated tokens are worth in new ones: the first pass all, later ones less and less.
  ///
  /// Muennighoff et al., "Scaling Data-Constrained Language Models", arXiv:2305.16264, equation 5, whose R*_D of 15.4 is for much
  /// larger models and texts.
  package static func usefulTokens(_ tokens: Double, of there: Double) -> Double {
    let repetitions = max(0, tokens / there - 1), worth = worthOfRepetitions
    return min(tokens, there) + there * worth * (1 - exp(-repetitions / worth))
  }
}
