package import Corpus
import Foundation
package import Tokenization

/// Labels texts with a classifier's head.
package struct LabelPredictor {
  private let classifier: Classifier
  private let encoder: Encoder
  private let tokenizer: Tokenizer
  private let context: Int

  /// - Parameter context: longer texts are cut at their end, as in training.
  package init(_ classifier: Classifier, tokenizer: Tokenizer, context: Int) {
    (self.classifier, self.tokenizer, self.context) = (classifier, tokenizer, context)
    encoder = Encoder(tokenizer)
  }

  /// The answers to examples of ``TaskKind/classify``, with the log-probability of each label.
  ///
  /// - Throws: ``ComputeError``.
  package func answer(_ examples: [TaskExample]) throws -> [TaskAnswer] {
    let texts = examples.map { if case .classification(let text, _) = $0 { text } else { "" } }
    let ids = texts.map { tokenizer.idsToClassify($0, with: encoder) }
    let probabilities = try classifier.probabilities(ids.map { Array($0.prefix(context)) })
    return examples.indices.map { index in
      let row = probabilities[index]
      let best = row.indices.max { row[$0] < row[$1] } ?? 0
      return TaskAnswer(
        example: examples[index], prompt: texts[index], text: classifier.labels[best],
        choice: (best, row.map { log($0) }), isCut: ids[index].count > context)
    }
  }
}

extension Tokenizer {
  /// A text's tokens; where there are none, one stands for the empty text.
  package func idsToClassify(_ text: String, with encoder: Encoder) -> [Int32] {
    // Texts of others: what looks like a special token is text.
    let ids = encoder.encode(text, specialTokens: false)
    return ids.isEmpty ? [endOfText ?? 0] : ids
  }
}
