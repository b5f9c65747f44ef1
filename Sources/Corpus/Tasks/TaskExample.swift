package import Tokenization

/// What the examples of a task file are for.
package enum TaskKind: String, Sendable, CaseIterable {
  case classify, qa, summarize, chat, similarity
  /// Prompts with references, for evaluation.
  case prompt
  /// Prompts with choices, for evaluation.
  case choice
  /// A model's outputs with references, for evaluation.
  case predictions

  /// The fields of an example, for messages.
  package var fields: String {
    switch self {
    case .classify: "text and label"
    case .qa: "question and answer (and context, if there is one)"
    case .summarize: "document and summary"
    case .chat: "messages, a list of {\"role\", \"content\"}"
    case .similarity: "a, b and score"
    case .prompt: "prompt and reference"
    case .choice: "prompt, choices and answer"
    case .predictions: "prediction and reference"
    }
  }
}

/// An example of a task.
package enum TaskExample: Sendable, Equatable {
  case classification(text: String, label: String)
  /// The context is empty where there is none; of the answers, any is right and the first is learned.
  case questionAnswer(question: String, context: String, answers: [String])
  case summarization(document: String, summary: String)
  case chat([ChatMessage])
  case similarity(a: String, b: String, score: Double)
  case prompt(prompt: String, references: [String])
  /// `answer` is the index of the right choice.
  case choice(prompt: String, choices: [String], answer: Int)
  case prediction(prediction: String, references: [String])

  /// Whether nothing is to be learned or compared: the label, the answer or the summary is empty.
  var hasNoAnswer: Bool {
    switch self {
    case .classification(_, let label): label.isEmpty
    case .questionAnswer(_, _, let answers): answers.allSatisfy(\.isEmpty)
    case .summarization(_, let summary): summary.isEmpty
    case .chat(let messages): !messages.contains { $0.role == "assistant" && !$0.content.isEmpty }
    case .similarity, .prompt, .choice, .prediction: false
    }
  }
}
