package import Formats

/// One message of a conversation.
package struct ChatMessage: Sendable, Equatable {
  /// system, user, assistant or whatever a template knows.
  package var role: String
  package var content: String

  package init(role: String, content: String) {
    self.role = role
    self.content = content
  }

  package var json: JSON { ["role": .string(role), "content": .string(content)] }
}
