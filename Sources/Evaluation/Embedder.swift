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
}

/// One of many vectors, and how near it is to another one.
package struct Neighbour: Sendable, Equatable {
  package let index: Int
  /// The cosine.
  package let similarity: Double

  /// The nearest vectors, the nearest first, equally near ones in their order.
  ///
  /// - Parameters:
  ///   - query: of length 1, and so are `vectors`.
  ///   - count: at most so many.
  package static func nearest(to query: [Float], among vectors: [[Float]], count: Int) -> [Neighbour] {
    let all = vectors.enumerated().map { index, vector in
      let cosine = zip(query, vector).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      return Neighbour(index: index, similarity: cosine)
    }
    return Array(all.sorted { ($0.similarity, $1.index) > ($1.similarity, $0.index) }.prefix(count))
  }
}
