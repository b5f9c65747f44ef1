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
    let tokenizer = try learned(.gpt2)
    let encoding = try ChatTemplate.default.encode(
      messages, tokenizer: tokenizer, addGenerationPrompt: true, learnsAnswers: true)
    let answer = zip(encoding.ids, encoding.isLearned).filter(\.1).map(\.0)
    #expect(tokenizer.decode(answer) == " Hi!<|endoftext|>")
    #expect(tokenizer.decode(encoding.ids).hasSuffix("User: Bye\nAssistant:"))
  }

  @Test("keeps special tokens in messages text")
  func keepsSpecialTokensText() throws {
    let tokenizer = try learned(.gpt2)
    let text = "a<|endoftext|>b"
    let encoding = try ChatTemplate.default.encode(
      [ChatMessage(role: "user", content: text)], tokenizer: tokenizer, addGenerationPrompt: false)
    #expect(!encoding.ids.contains { tokenizer.isSpecial($0) })
    #expect(tokenizer.decode(encoding.ids) == "User: \(text)\n")
  }

  @Test("refuses a role that it doesn't know")
  func refusesUnknownRole() {
    #expect(throws: TokenizationError.refused("unknown role tool; expected system, user or assistant")) {
      try ChatTemplate.default.render(
        [ChatMessage(role: "tool", content: "")], addGenerationPrompt: false, endOfText: "<eos>")
    }
  }

  @Test(
    "ends hostile templates with an error",
    arguments: [
      "{{ 'a' * 10 ** 9 }}", "{% for i in range(10 ** 9) %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
      "{{" + String(repeating: "(", count: 100_000), String(repeating: "{% if x %}", count: 10_000),
      "{{ " + String(repeating: "1+", count: 10_000) + "1 }}",
      "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}",
      "{{ -9223372036854775807 - 2 }}", "{{ 'a'.append(1) }}", "{% include 'x' %}", "{{ x | nothing }}", "{{",
      "{% raw %}",
    ])
  func endsHostileTemplates(_ source: String) {
    #expect(throws: TokenizationError.self) {
      try ChatTemplate(source: source).render([], addGenerationPrompt: false, endOfText: "")
    }
  }
}
