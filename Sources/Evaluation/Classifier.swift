package import Compute
import Foundation
package import Models

/// Chooses labels for texts with a classifier's head.
package struct Classifier {
  private let runner: PooledRunner
  package let labels: [String]

  /// - Parameter transformer: of a config with labels.
  package init(_ transformer: Transformer, weights: any ParameterStore, executor: any Executor) {
    precondition(transformer.config.isClassifier)
    labels = transformer.config.labels
    runner = PooledRunner(transformer, weights: weights, executor: executor, output: .labelLogits)
  }

  /// The probability of each label for each sequence.
  ///
  /// - Parameter sequences: ids within the vocabulary, each sequence no longer than the model's context.
  /// - Throws: ``ComputeError``.
  package func probabilities(_ sequences: [[Int32]]) throws(ComputeError) -> [[Double]] {
    try runner.run(sequences).map { logits in
      let highest = logits.max() ?? 0
      let exponentials = logits.map { exp(Double($0 - highest)) }
      let sum = exponentials.reduce(0, +)
      return exponentials.map { $0 / sum }
    }
  }
}
