import Testing
import Tokenization

@Suite("The chat template")
struct ChatTemplateTests {
  private let messages = [
    ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "你好"),
    ChatMessage(role: "assistant", content: "Hi!"), ChatMessage(role: "user", content: "Bye"),
  ]

  @Test("gives the text of a conversation, up to where the next answer begins")
  func renders() throws {
    let text = try ChatTemplate.default.render(messages, addGenerationPrompt: true, endOfText: "<eos>")
    #expect(text == "System: Be brief.\nUser: 你好\nAssistant: Hi!<eos>\nUser: Bye\nAssistant:")
  }

  @Test("marks the answers and their ends as the assistant's, and nothing else")
  func marksAnswers() throws {
    let segments = try ChatTemplate.default.segments(messages, endOfText: "<eos>")
    #expect(segments.filter(\.isAssistant).map(\.text) == [" Hi!<eos>"])
    #expect(
      try segments.map(\.text).joined()
        == ChatTemplate.default.render(messages, addGenerationPrompt: false, endOfText: "<eos>"))
  }

  @Test("refuses a role that it doesn't know")
  func refusesUnknownRole() {
    #expect(throws: TokenizationError.unknownRole("tool")) {
      try ChatTemplate.default.segments([ChatMessage(role: "tool", content: "")], endOfText: "<eos>")
    }
  }
}
