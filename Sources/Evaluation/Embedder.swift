package import Compute
import Foundation
package import Models

/// Vectors of texts: near ones mean similar things, as far as the model knows.
///
/// The mean of the last hidden states. Reimers & Gurevych, "Sentence-BERT", arXiv:1908.10084, section 3.
package struct Embedder {
  private let runner: PooledRunner

  package init(_ transformer: Transformer, weights: any ParameterStore, executor: any Executor) {
    runner = PooledRunner(transformer, weights: weights, executor: executor, output: .vector)
  }

  /// The vector (C) of each sequence, of length 1; an empty sequence's is all zeros.
  ///
  /// - Parameter sequences: ids within the vocabulary, each sequence no longer than the model's context.
  /// - Throws: ``ComputeError``.
  package func embed(_ sequences: [[Int32]]) throws(ComputeError) -> [[Float]] {
    try runner.run(sequences).map { Self.normalized($0) }
  }

  /// x / ‖x‖; zeros stay zeros.
  package static func normalized(_ vector: [Float]) -> [Float] {
    let norm = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    return norm > 0 ? vector.map { Float(Double($0) / norm) } : vector
  }

  /// The cosine of two vectors of length 1.
  package static func similarity(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
}
