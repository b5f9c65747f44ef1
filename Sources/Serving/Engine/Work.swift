package import Generation

/// What the engine is asked to compute, in ids that are known to be right.
package enum Work: Sendable {
  case generate(GenerationWork)
  case embed([[Int32]])
}

/// Prompts to continue.
package struct GenerationWork: Sendable {
  package var prompts: [[Int32]]
  /// Answers to each prompt.
  package var choices = 1
  /// Nil: as many as fit into the context.
  package var maxTokens: Int?
  package var sampling = SamplingOptions()
  package var stops: [String] = []
  /// Alternatives to give at each token; nil: no log-probabilities.
  package var top: Int?
  /// Whether the prompt's own tokens are scored, too.
  package var scoresPrompt = false

  package init(prompts: [[Int32]]) { self.prompts = prompts }
}

/// What the engine gives: for each prompt that it was read, then for each choice pieces and the end.
package enum Output: Sendable {
  /// The tokens of prompt `index`, where they are asked for.
  case prompt(index: Int, [TokenScore])
  case piece(choice: Int, Piece)
  case finished(choice: Int, GenerationResult.FinishReason)
  case vectors([[Float]])
}

/// A piece of an answer: whole characters.
package struct Piece: Sendable {
  package var text: String
  /// Tokens drawn since the piece before.
  package var tokenCount: Int
  /// The tokens of this text, where log-probabilities are asked for.
  package var tokens: [TokenScore] = []
}

/// A token and how likely it was.
package struct TokenScore: Sendable, Equatable {
  package var id: Int32
  /// Nats; nil for the first token of a text, which nothing predicts.
  package var logProbability: Double?
  package var alternatives: [TokenAlternative] = []
  /// Unicode scalars of the prompt, or of the answer, before this token.
  package var offset: Int
  package var isPrompt = false
  /// Whether it ends the document.
  package var isEnd = false
}
