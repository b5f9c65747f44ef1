package import Corpus
package import Tokenization

/// An example as tokens, of which some are only read and others, the answers and their ends, are learned.
package struct AnswerExample: Sendable, Equatable {
  package let ids: [Int32]
  /// Of each token; the first one isn't: something must stand before what is predicted.
  package let isLearned: [Bool]

  /// Positions that it takes in a row: its last token is a target only.
  package var length: Int { ids.count - 1 }

  package var answerTokens: Int { isLearned.lazy.filter(\.self).count }

  /// A prompt and an answer. An empty prompt is read as the end of the text before.
  package init(_ text: TaskPrompt, encoder: Encoder, endOfText: Int32) {
    // Texts of others: what looks like a special token is text.
    var ids = encoder.encode(text.prompt, specialTokens: false)
    if ids.isEmpty { ids = [endOfText] }
    let answerStart = ids.count
    ids += encoder.encode(text.answer, specialTokens: false)
    ids.append(endOfText)
    self.ids = ids
    isLearned = ids.indices.map { $0 >= answerStart }
  }

  /// A conversation; what follows its last answer is left out. Nil where nothing is learned.
  package init?(_ conversation: ChatEncoding) {
    var isLearned = conversation.isLearned
    if !isLearned.isEmpty { isLearned[0] = false }
    guard let last = isLearned.lastIndex(of: true) else { return nil }
    ids = Array(conversation.ids[...last])
    self.isLearned = Array(isLearned[...last])
  }
}
