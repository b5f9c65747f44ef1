import Formats
package import Tokenization

/// `POST /v1/chat/completions`.
package struct ChatRequest: Sendable, Equatable {
  package var common: GenerationFields
  package var messages: [ChatMessage]
  /// Alternatives to give at each token; nil: no log-probabilities.
  package var top: Int?

  /// - Throws: ``APIError``.
  package init(_ fields: Fields) throws(APIError) {
    common = try GenerationFields(fields)
    let old = try fields.integer("max_tokens", in: 1...Int.max)
    common.maxTokens = try fields.integer("max_completion_tokens", in: 1...Int.max) ?? old
    messages = try Self.messages(fields)
    let wantsLogProbabilities = try fields.bool("logprobs") ?? false
    let top = try fields.integer("top_logprobs", in: 0...GenerationFields.topLimit)
    if top != nil, !wantsLogProbabilities { throw .invalid("top_logprobs", "only with \"logprobs\": true") }
    self.top = wantsLogProbabilities ? top ?? 0 : nil
    for key in ["tools", "functions"] { try fields.require(key, "text, no tools") { $0.array?.isEmpty == true } }
    try fields.require("response_format", "{\"type\": \"text\"}") { $0["type"]?.string == "text" }
    try fields.require("modalities", "[\"text\"]") { $0 == ["text"] }
  }

  private static func messages(_ fields: Fields) throws(APIError) -> [ChatMessage] {
    guard let list = try fields.array("messages") else { throw .invalid("messages", "is missing") }
    guard !list.isEmpty else { throw .invalid("messages", "an empty list; expected at least one message") }
    var messages: [ChatMessage] = []
    for (index, json) in list.enumerated() {
      let place = "messages[\(index)]"
      guard let object = json.object else {
        throw .invalid("messages", "\(place): expected an object, found \(shown(json))")
      }
      guard let role = object["role"]?.string else {
        throw .invalid("messages", "\(place).role: expected a string, found \(object["role"].map(shown) ?? "nothing")")
      }
      // What OpenAI's newer models call the system.
      messages.append(
        ChatMessage(
          role: role == "developer" ? "system" : role, content: try content(object["content"], "\(place).content")))
    }
    return messages
  }

  /// A string, or parts of text.
  private static func content(_ json: JSON?, _ place: String) throws(APIError) -> String {
    if let text = json?.string { return text }
    guard let parts = json?.array else {
      throw .invalid("messages", "\(place): expected a string or parts of text, found \(json.map(shown) ?? "nothing")")
    }
    var text = ""
    for (index, part) in parts.enumerated() {
      guard part["type"]?.string == "text", let piece = part["text"]?.string else {
        throw .invalid("messages", "\(place)[\(index)]: expected {\"type\": \"text\", \"text\": …}")
      }
      text += piece
    }
    return text
  }
}
