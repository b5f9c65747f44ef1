import Formats

/// `POST /v1/completions`.
package struct CompletionRequest: Sendable, Equatable {
  package var common: GenerationFields
  package var prompts: [Prompt]
  /// Whether the answer begins with the prompt.
  package var echo: Bool
  /// Alternatives to give at each token; nil: no log-probabilities.
  package var top: Int?

  private static let defaultMaxTokens = 16

  /// - Throws: ``APIError``.
  package init(_ fields: Fields) throws(APIError) {
    common = try GenerationFields(fields)
    common.maxTokens = try fields.integer("max_tokens", in: 0...Int.max) ?? Self.defaultMaxTokens
    prompts = try Prompt.read("prompt", of: fields, limit: GenerationFields.choiceLimit)
    echo = try fields.bool("echo") ?? false
    top = try fields.integer("logprobs", in: 0...GenerationFields.topLimit)
    let choices = common.choices
    if let best = try fields.integer("best_of", in: 1...GenerationFields.choiceLimit), best != choices {
      throw .unsupported("best_of", supported: "the value of n")
    }
    if try fields.string("suffix")?.isEmpty == false { throw .unsupported("suffix", supported: "text without one") }
    guard prompts.count * choices <= GenerationFields.choiceLimit else {
      throw .invalid(
        "n", "\(prompts.count) prompts × \(choices) answers; at most \(GenerationFields.choiceLimit) in all")
    }
  }
}
