package import Compute
package import Corpus
import Foundation
package import Generation
package import Models
package import Tokenization

/// What a model answered to an example.
package struct TaskAnswer: Sendable {
  package let example: TaskExample
  /// As the model read it.
  package let prompt: String
  package let text: String
  /// The index and the mean log-probabilities of choices; nil where text was generated.
  package var choice: (index: Int, scores: [Double])?
  package let isCut: Bool
}

/// Lets a language model do the examples of a task: it generates an answer, or takes the likeliest of choices.
package final class TaskPredictor {
  package struct Options: Sendable {
    package var maxTokens = 64
    package var sampling = SamplingOptions()
    package var stops: [String] = []

    /// Greedy.
    package init() { sampling.temperature = 0 }
  }

  /// Tokens of a prompt with its answer at most: what longer contexts would cache takes gigabytes.
  private static let longestContext = 4096

  private let session: KeyValueSession
  private let tokenizer: Tokenizer
  private let endOfText: Int32?
  private let prompts: PromptTokens
  private let context: Int
  private let options: Options

  /// - Throws: ``ComputeError``, ``EvaluationError``.
  package init(
    _ transformer: Transformer, weights: any ParameterStore, executor: any Executor, tokenizer: Tokenizer,
    endOfText: Int32?, options: Options
  ) throws {
    context = min(transformer.config.maxPositions, Self.longestContext)
    guard options.maxTokens < context else {
      throw EvaluationError.noRoom(maxTokens: options.maxTokens, context: context)
    }
    session = try KeyValueSession(transformer, weights: weights, executor: executor, longest: context)
    (self.tokenizer, self.endOfText, self.options) = (tokenizer, endOfText, options)
    prompts = PromptTokens(tokenizer, endOfText: endOfText)
  }

  /// - Parameter labels: all that there are, for examples of texts with labels.
  /// - Throws: ``ComputeError``, ``EvaluationError``.
  package func answer(_ example: TaskExample, labels: [String]) throws -> TaskAnswer {
    switch example {
    case .choice(_, let choices, _): try choose(example, among: choices, written: choices)
    case .classification: try choose(example, among: labels, written: labels.map { " " + $0 })
    default: try generate(example)
    }
  }

  /// White space around a generated answer isn't part of it.
  private func generate(_ example: TaskExample) throws -> TaskAnswer {
    let (text, ids, isCut) = try prompts.prompt(of: example, limit: context - options.maxTokens)
    session.rewind(to: 0)
    let result = try Generator(session, tokenizer: tokenizer, endOfText: endOfText).generate(
      prompt: ids, maxTokens: options.maxTokens, options: options.sampling, stops: options.stops)
    return TaskAnswer(
      example: example, prompt: text, text: result.text.trimmingCharacters(in: .whitespacesAndNewlines), isCut: isCut)
  }

  /// The choice with the largest log-probability per token, the first of equal ones.
  private func choose(_ example: TaskExample, among choices: [String], written: [String]) throws -> TaskAnswer {
    let tokens = try written.map { try prompts.encode($0) }
    let longest = tokens.map(\.count).max() ?? 0
    for (choice, tokens) in zip(choices, tokens) where tokens.count >= context {
      throw EvaluationError.choiceTooLong(choice: choice, tokens: tokens.count, context: context)
    }
    let (text, ids, isCut) = try prompts.prompt(of: example, limit: context - longest)
    session.rewind(to: 0)
    let first = try LogProbabilities(session.append(ids)[...])
    let scores = try tokens.map { choice in
      session.rewind(to: ids.count)
      var sum = first[choice[0]]
      var next = 1
      try session.score(Array(choice.dropLast())) { logits in
        sum += LogProbabilities(logits)[choice[next]]
        next += 1
      }
      return sum / Double(choice.count)
    }
    let index = scores.indices.max { (scores[$0], $1) < (scores[$1], $0) } ?? 0
    return TaskAnswer(
      example: example, prompt: text, text: choices.isEmpty ? "" : choices[index], choice: (index, scores),
      isCut: isCut)
  }
}

extension TaskAnswer {
  /// What metrics compare: labels as they are, choices by their index.
  package var prediction: Prediction {
    switch example {
    case .choice(_, _, let answer): Prediction("\(choice?.index ?? -1)", references: ["\(answer)"])
    default: Prediction(text, references: references)
    }
  }

  package var references: [String] {
    switch example {
    case .classification(_, let label): [label]
    case .questionAnswer(_, _, let answers): answers
    case .summarization(_, let summary): [summary]
    case .prompt(_, let references): references
    case .choice(_, let choices, let answer): [choices[answer]]
    case .chat, .similarity, .prediction: [""]
    }
  }
}

extension TaskKind {
  /// What the kind is measured by: first what it is measured by unless something else is asked for.
  package var metrics: [Metric] {
    switch self {
    case .choice, .classify: [.accuracy]
    case .qa: [.exactMatch, .f1, .bleu, .chrf, .rouge, .accuracy]
    case .summarize: [.rouge, .bleu, .chrf, .exactMatch, .f1, .accuracy]
    case .prompt: [.bleu, .chrf, .rouge, .exactMatch, .f1, .accuracy]
    case .chat, .similarity, .predictions: []
    }
  }

  package var defaultMetrics: [Metric] { Array(metrics.prefix(self == .qa || self == .prompt ? 2 : 1)) }
}
