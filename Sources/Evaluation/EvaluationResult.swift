import Foundation

/// How well a model predicts a text.
package struct EvaluationResult: Sendable, Equatable {
  /// Nats of all predicted tokens together.
  package var nats = 0.0
  /// Tokens whose prediction was the most likely one.
  package var correct = 0
  /// Tokens predicted.
  package var tokens = 0
  /// UTF-8 bytes of the predicted tokens; nil where ids have no text.
  package var bytes: Int?
  /// How often the most frequent of the predicted tokens was among them; nil where nobody counted.
  package var mostFrequent: Int?

  package init(bytes: Int? = nil) {
    self.bytes = bytes
  }

  /// Nats per token.
  package var loss: Double { tokens > 0 ? nats / Double(tokens) : .nan }
  package var perplexity: Double { exp(loss) }
  package var accuracy: Double { tokens > 0 ? Double(correct) / Double(tokens) : .nan }

  /// The accuracy of predicting the most frequent token everywhere.
  package var baselineAccuracy: Double? { mostFrequent.map { tokens > 0 ? Double($0) / Double(tokens) : .nan } }

  /// Total nats ÷ (ln 2 × bytes): comparable between tokenizers.
  package var bitsPerByte: Double? {
    guard let bytes, bytes > 0 else { return nil }
    return nats / (log(2) * Double(bytes))
  }
}
