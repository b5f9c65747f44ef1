/// How a conversation becomes the text that a model reads: plain words, so that no vocabulary has to grow.
///
///     System: Be brief.
///     User: Hello
///     Assistant: Hi!<|endoftext|>
///
/// The end-of-text token ends every answer. Words alone mark the turns, so a user's text can imitate a marker; it can't
/// imitate the end of an answer where it is encoded without special tokens.
package struct ChatTemplate: Sendable, Equatable {
  /// The file beside a checkpoint's weights in which Hugging Face's libraries look for it.
  package static let fileName = "chat_template.jinja"
  package static let `default` = ChatTemplate()

  /// The same form in Hugging Face's template language.
  package let source = """
    {%- for message in messages %}
    {%- if message['role'] == 'system' %}{{ 'System: ' + message['content'] + '\\n' }}
    {%- elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}
    {%- elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}
    {%- else %}{{ raise_exception('unknown role ' + message['role']) }}
    {%- endif %}
    {%- endfor %}
    {%- if add_generation_prompt %}{{ 'Assistant:' }}{%- endif %}
    """

  /// A piece of a conversation's text; `isAssistant` where the model is to learn to say it.
  package struct Segment: Sendable, Equatable {
    package var text: String
    package var isAssistant: Bool
  }

  /// The conversation in pieces, which in a row are what `render` gives.
  ///
  /// - Throws: ``TokenizationError/unknownRole(_:)`` unless every role is system, user or assistant.
  package func segments(_ messages: [ChatMessage], endOfText: String) throws(TokenizationError) -> [Segment] {
    var segments: [Segment] = []
    for message in messages {
      switch message.role {
      case "system": segments.append(Segment(text: "System: \(message.content)\n", isAssistant: false))
      case "user": segments.append(Segment(text: "User: \(message.content)\n", isAssistant: false))
      case "assistant":
        segments.append(Segment(text: "Assistant:", isAssistant: false))
        segments.append(Segment(text: " \(message.content)\(endOfText)", isAssistant: true))
        segments.append(Segment(text: "\n", isAssistant: false))
      default: throw .unknownRole(message.role)
      }
    }
    return segments
  }

  /// The conversation as one text; with `addGenerationPrompt`, up to where the next answer begins.
  package func render(
    _ messages: [ChatMessage], addGenerationPrompt: Bool, endOfText: String
  ) throws(TokenizationError) -> String {
    let text = try segments(messages, endOfText: endOfText).map(\.text).joined()
    return addGenerationPrompt ? text + "Assistant:" : text
  }
}
