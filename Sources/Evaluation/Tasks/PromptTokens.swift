package import Corpus
package import Tokenization

/// The prompt of an example as tokens that fit.
package struct PromptTokens {
  private let encoder: Encoder
  private let endOfText: Int32?
  private let tokenizer: Tokenizer

  package init(_ tokenizer: Tokenizer, endOfText: Int32?) {
    (self.tokenizer, self.endOfText) = (tokenizer, endOfText)
    encoder = Encoder(tokenizer)
  }

  /// As fine-tuning reads texts: what looks like a special token is text, and an empty text is the end of the one
  /// before.
  ///
  /// - Throws: ``EvaluationError/noEndOfText(model:)``.
  package func encode(_ text: String) throws(EvaluationError) -> [Int32] {
    let ids = encoder.encode(text, specialTokens: false)
    if !ids.isEmpty { return ids }
    guard let endOfText else { throw .noEndOfText(model: "the model") }
    return [endOfText]
  }

  /// A prompt of at most `limit` tokens.
  ///
  /// Where something may be cut — a question's context, a document, a text — its end is, so that what is asked stays.
  /// Else, and where that isn't enough, the prompt keeps its end.
  ///
  /// - Returns: whether anything was cut, too.
  package func prompt(
    of example: TaskExample, limit: Int
  ) throws(EvaluationError) -> (text: String, ids: [Int32], isCut: Bool) {
    let prompt = try cut(example, to: limit)
    return (prompt.text, Array(prompt.ids.suffix(limit)), prompt.kept != nil)
  }

  /// The same where cutting a part of what is read is enough, and some of it stays; nil where it isn't.
  package func fittingPrompt(of example: TaskExample, limit: Int) throws(EvaluationError) -> [Int32]? {
    let prompt = try cut(example, to: limit)
    return prompt.ids.count <= limit && prompt.kept != 0 ? prompt.ids : nil
  }

  /// - Returns: the prompt with the end of its long part cut until it fits or nothing is left of that; `kept` tokens of
  ///   it, nil where nothing was cut.
  private func cut(
    _ example: TaskExample, to limit: Int
  ) throws(EvaluationError) -> (text: String, ids: [Int32], kept: Int?) {
    let make: (String) -> String
    var long: String
    switch example {
    case .questionAnswer(let question, let context, _):
      (make, long) = ({ TaskPrompt.questionAnswer(question: question, context: $0) }, context)
    case .summarization(let document, _):
      (make, long) = (TaskPrompt.summarization, document)
    case .classification(let text, _):
      (make, long) = (TaskPrompt.classification, text)
    case .prompt(let prompt, _), .choice(let prompt, _, _):
      (make, long) = ({ _ in prompt }, "")
    case .chat, .similarity, .prediction:
      (make, long) = ({ $0 }, "")
    }
    var ids = try encode(make(long))
    if ids.count <= limit { return (make(long), ids, nil) }
    let parts = encoder.encode(long, specialTokens: false)
    var kept = parts.count
    while ids.count > limit, kept > 0 {
      // Each token less makes the prompt about one shorter, so this ends after a time or two.
      kept = max(0, kept - (ids.count - limit))
      long = wholeCharacters(tokenizer.decodeBytes(parts[..<kept]))
      ids = try encode(make(long))
    }
    return (make(long), ids, kept)
  }

  /// The text of bytes, without a character at the end that was cut.
  private func wholeCharacters(_ bytes: [UInt8]) -> String {
    for dropped in 0..<min(4, bytes.count + 1) {
      if let text = String(validating: bytes.dropLast(dropped), as: UTF8.self) { return text }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
