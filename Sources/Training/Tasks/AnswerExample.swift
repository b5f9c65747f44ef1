package import Corpus
package import Tokenization

/// An example as tokens: a prompt that is only read, then an answer and its end, which are learned.
package struct AnswerExample: Sendable, Equatable {
  package let ids: [Int32]
  /// The first token of the answer, at least 1: something must stand before what is predicted.
  package let answerStart: Int

  /// Positions that it takes in a row: its last token is a target only.
  package var length: Int { ids.count - 1 }

  /// An empty prompt is read as the end of the text before.
  package init(_ text: TaskPrompt, encoder: Encoder, endOfText: Int32) {
    // Texts of others: what looks like a special token is text.
    var ids = encoder.encode(text.prompt, specialTokens: false)
    if ids.isEmpty { ids = [endOfText] }
    answerStart = ids.count
    ids += encoder.encode(text.answer, specialTokens: false)
    ids.append(endOfText)
    self.ids = ids
  }
}
