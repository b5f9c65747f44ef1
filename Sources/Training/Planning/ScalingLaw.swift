import Foundation

/// What a decoder of ``Preset/decoder(width:batchSize:)`` reaches on text that it has not seen, in bits per byte:
///
///   L(N, D) = difficulty · (E + A·N^−α + B·D^−β)
///
/// N: parameters of the layers' matrices, D: bytes of text that count, both in millions. The form is that of Hoffmann et
/// al., "Training Compute-Optimal Large Language Models", arXiv:2203.15556, equation 2; the constants were fitted by
/// Benchmarks/scaling.py (docs/scaling.md).
package struct ScalingLaw: Sendable {
  package var irreducible = 1.555
  package var ofParameters = (factor: 0.130, exponent: 0.3)
  package var ofData = (factor: 0.53, exponent: 0.3)
  /// How the text at hand compares with the one that the constants were fitted on.
  package var difficulty = 1.0
  /// Tokens per update at which half of the tokens are as good as lost.
  package var criticalBatch = 8192.0

  package init() {}

  /// - Parameters:
  ///   - parameters: those of the layers' matrices.
  ///   - tokens: that are trained on, repeated ones included.
  ///   - batchTokens: of one update.
  ///   - trainTokens: that there are.
  ///   - bytesPerToken: of the text.
  package func bitsPerByte(
    parameters: Int, tokens: Double, batchTokens: Int, trainTokens: Int, bytesPerToken: Double
  ) -> Double {
    let seen = Self.usefulTokens(tokens, of: Double(trainTokens)) / (1 + Double(batchTokens) / criticalBatch)
    let (N, D) = (Double(parameters) / 1e6, seen * bytesPerToken / 1e6)
    return difficulty
      * (irreducible + ofParameters.factor * pow(N, -ofParameters.exponent) + ofData.factor * pow(D, -ofData.exponent))
  }

  /// What repeated tokens are worth in new ones: the first pass all, later ones less and less.
  ///
  /// Muennighoff et al., "Scaling Data-Constrained Language Models", arXiv:2305.16264, equation 5 and R*_D.
  package static func usefulTokens(_ tokens: Double, of there: Double) -> Double {
    let repetitions = max(0, tokens / there - 1), worth = 15.4
    return min(tokens, there) + there * worth * (1 - exp(-repetitions / worth))
  }
}
