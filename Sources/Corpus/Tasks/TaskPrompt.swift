/// The texts of an example as a model reads and writes them: one definition for fine-tuning, evaluation and serving.
///
/// The end-of-text token follows the answer. Prompt and answer are encoded one by one, so that the prompt's tokens
/// don't depend on the answer.
package struct TaskPrompt: Sendable, Equatable {
  package let prompt: String
  package let answer: String

  package init(prompt: String, answer: String) {
    self.prompt = prompt
    self.answer = answer
  }

  /// Nil for examples that aren't a prompt and an answer: chats go through their template, labels to a classifier.
  package init?(_ example: TaskExample) {
    switch example {
    case .questionAnswer(let question, let context, let answers):
      prompt = Self.questionAnswer(question: question, context: context)
      answer = " " + (answers.first { !$0.isEmpty } ?? "")
    case .summarization(let document, let summary):
      prompt = Self.summarization(document: document)
      answer = " " + summary
    case .prompt(let prompt, let references):
      self.prompt = prompt
      answer = references.first ?? ""
    case .classification, .chat, .similarity, .choice, .prediction:
      return nil
    }
  }

  package static func questionAnswer(question: String, context: String = "") -> String {
    (context.isEmpty ? "" : context + "\n\n") + "Question: \(question)\nAnswer:"
  }

  package static func summarization(document: String) -> String { "\(document)\n\nSummary:" }

  /// For a model without a head for labels; a space and a label follow.
  package static func classification(text: String) -> String { "\(text)\n\nLabel:" }
}
