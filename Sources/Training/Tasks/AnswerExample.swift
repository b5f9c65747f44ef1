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

  /// The tokens from the first that is learned on.
  package var answer: ArraySlice<Int32> { ids[(isLearned.firstIndex(of: true) ?? ids.count)...] }

  /// A prompt and an answer. An empty prompt is read as the end of the text before.
  package init(_ text: TaskPrompt, encoder: Encoder, endOfText: Int32) {
    // Texts of others: what looks like a special token is text.
    let prompt = encoder.encode(text.prompt, specialTokens: false)
    self.init(
      prompt: prompt.isEmpty ? [endOfText] : prompt,
      answer: encoder.encode(text.answer, specialTokens: false) + [endOfText])
  }

  /// - Parameter answer: its end included.
  package init(prompt: [Int32], answer: [Int32]) {
    ids = prompt + answer
    isLearned = ids.indices.map { $0 >= prompt.count }
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
