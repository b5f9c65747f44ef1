import Formats

/// What can be wrong with an evaluation of a task.
package enum EvaluationError: ContractError, Equatable {
  /// As many tokens to generate as the context holds leave none for the prompt.
  case noRoom(maxTokens: Int, context: Int)
  /// A choice or a label that fills the context by itself.
  case choiceTooLong(choice: String, tokens: Int, context: Int)
  /// An empty prompt or choice, and no token that begins or ends a text.
  case noEndOfText(model: String)

  package var exitCode: Int32 { ContractExit.data }

  package var description: String {
    switch self {
    case .noRoom(let maxTokens, let context):
      "--max-tokens \(maxTokens): leaves no room for a prompt in the model's context of \(context) tokens; give at most "
        + "\(context - 1)"
    case .choiceTooLong(let choice, let tokens, let context):
      "the choice '\(choice.prefix(40))' has \(tokens) tokens, too many for the model's context of \(context); shorten it"
    case .noEndOfText(let model):
      "\(model): has no token that ends a text, which an empty prompt or choice is read as; give some text"
    }
  }
}
