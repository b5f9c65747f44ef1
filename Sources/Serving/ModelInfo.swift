package import Models
package import Tokenization

/// What requests need to know of the model that is served.
package struct ModelInfo: Sendable {
  /// What clients call it.
  package var name: String
  /// Tokens that a prompt and its answer may have: keys and values of so many are held in memory.
  package var context: Int
  package var vocabularySize: Int
  /// Whether it can continue a text; one that sees both sides of a token, or classifies, gives vectors only.
  package var generates: Bool
  /// Nil for a model of ids without text.
  package var tokenizer: Tokenizer?
  package var template: ChatTemplate
  /// The token that ends an answer.
  package var endOfText: Int32?
  /// What is read where the prompt is empty.
  package var begin: Int32?
  /// When it was loaded, in seconds since 1970.
  package var created: Int

  /// Where nobody asks for more: some models could read hundreds of thousands of tokens, for gigabytes.
  package static let defaultContext = 8192

  /// - Parameter context: tokens, at most those that the model can read; nil: up to ``defaultContext``.
  package init(
    name: String, config: ModelConfig, context: Int? = nil, tokenizer: Tokenizer?, template: ChatTemplate = .default,
    created: Int
  ) {
    self.name = name
    self.context = min(config.maxPositions, context ?? Self.defaultContext)
    vocabularySize = config.vocabularySize
    generates = !config.isBidirectional && !config.isClassifier
    self.tokenizer = tokenizer
    self.template = template
    endOfText = config.eosTokenID.flatMap { Int32(exactly: $0) } ?? tokenizer?.endOfText
    begin = config.bosTokenID.flatMap { Int32(exactly: $0) } ?? endOfText
    self.created = created
  }
}

extension ModelInfo {
  /// Checks that a request means this model.
  package func check(_ name: String?) throws(APIError) {
    if let name, name != self.name { throw .noSuchModel(name, served: self.name) }
  }

  /// A prompt as ids that the model can read: at least one, at most the context.
  ///
  /// - Parameter specialTokens: whether the text `<|endoftext|>` stands for that token, or is text like any other.
  /// - Throws: ``APIError``, naming `parameter`.
  package func ids(_ prompt: Prompt, _ parameter: String, specialTokens: Bool) throws(APIError) -> [Int32] {
    var ids: [Int32]
    switch prompt {
    case .text(let text):
      guard let tokenizer else { throw .noTokenizer }
      ids = tokenizer.encode(text, specialTokens: specialTokens)
    case .ids(let given): ids = given
    }
    if ids.isEmpty {
      guard let begin else { throw .invalid(parameter, "the text is empty") }
      ids = [begin]
    }
    return try checked(ids, parameter)
  }

  /// A conversation as ids, up to where the answer begins.
  ///
  /// - Throws: ``APIError``.
  package func ids(_ messages: [ChatMessage]) throws(APIError) -> [Int32] {
    guard let tokenizer else { throw .noTokenizer }
    let conversation: [Int32]
    do {
      conversation = try template.encode(messages, tokenizer: tokenizer, addGenerationPrompt: true).ids
    } catch { throw .invalid("messages", error.description) }
    return try checked(conversation, "messages")
  }

  private func checked(_ ids: [Int32], _ parameter: String) throws(APIError) -> [Int32] {
    guard ids.count <= context else { throw .contextExceeded(parameter, tokens: ids.count, limit: context) }
    if let wrong = ids.first(where: { $0 < 0 || Int($0) >= vocabularySize }) {
      throw .invalid(parameter, "token id \(wrong) is outside of the vocabulary, 0 to \(vocabularySize - 1)")
    }
    return ids
  }
}
