import Formats
import Generation
import Serving
import Testing
import Tokenization

private func fields(_ text: String) throws(APIError) -> Fields { try fields(Array(text.utf8)) }

private func fields(_ bytes: [UInt8]) throws(APIError) -> Fields { try bytes.lendBytes(Fields.init) }

/// The error that reading a request ends with.
private func problem(_ text: String, _ read: (Fields) throws(APIError) -> some Any) -> APIError? {
  do {
    _ = try read(fields(text))
    return nil
  } catch { return error }
}

@Suite("A request for a completion")
struct CompletionRequestTests {
  @Test("has OpenAI's defaults, and ignores what it doesn't know")
  func defaults() throws {
    let request = try CompletionRequest(fields(#"{"prompt": "a", "user": "me", "later": {"x": [1]}, "n": null}"#))
    #expect(request.prompts == [.text("a")])
    #expect(request.common.maxTokens == 16 && request.common.choices == 1)
    #expect(request.common.sampling.temperature == 1 && request.common.sampling.topP == 1)
    #expect(!request.echo && !request.common.streams && request.top == nil && request.common.stops.isEmpty)
  }

  @Test(
    "takes a prompt as text, texts, ids and lists of ids",
    arguments: [
      (#""a""#, [Prompt.text("a")]), (#"["a", ""]"#, [.text("a"), .text("")]), ("[1, 2.0]", [.ids([1, 2])]),
      ("[[1], [2, 3]]", [.ids([1]), .ids([2, 3])]),
    ])
  func prompts(text: String, expected: [Prompt]) throws {
    #expect(try CompletionRequest(fields("{\"prompt\": \(text)}")).prompts == expected)
  }

  @Test(
    "is refused by the name of the field that is wrong",
    arguments: [
      ("prompt", "null"), ("prompt", "7"), ("prompt", "{}"), ("prompt", "[]"), ("prompt", "[[]]"),
      ("prompt", #"["a", 1]"#), ("prompt", #"[1, "a"]"#), ("prompt", "[[1], 2]"), ("prompt", "[[1], [[2]]]"),
      ("prompt", "[-1]"), ("prompt", "[2147483648]"), ("prompt", "[9223372036854775808]"), ("prompt", "[1.5]"),
      ("max_tokens", "-1"), ("max_tokens", "9223372036854775808"), ("max_tokens", "1e300"), ("max_tokens", "1.5"),
      ("max_tokens", #""5""#), ("max_tokens", "true"), ("max_tokens", "[]"), ("temperature", "-0.1"),
      ("temperature", "2.1"), ("temperature", #""hot""#), ("temperature", "false"), ("top_p", "1.01"), ("top_p", "-1"),
      ("n", "0"), ("n", "129"), ("n", "1.5"), ("stop", "5"), ("stop", "[1]"), ("stop", "{}"),
      ("stop", #"["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"]"#), ("seed", "1.5"),
      ("seed", "9223372036854775808"), ("logprobs", "true"), ("logprobs", "-1"), ("logprobs", "21"), ("echo", "1"),
      ("stream", #""yes""#), ("stream_options", "{}"), ("stream_options", "3"), ("best_of", "2"), ("suffix", #""x""#),
      ("presence_penalty", "0.5"), ("frequency_penalty", "-1"), ("frequency_penalty", "3"),
      ("logit_bias", #"{"1": 2}"#),
      ("model", "1"), ("top_k", "0.5"), ("min_p", "2"), ("repetition_penalty", "0"),
    ])
  func wrong(key: String, value: String) {
    let text = key == "prompt" ? "{\"prompt\": \(value)}" : "{\"prompt\": \"a\", \"\(key)\": \(value)}"
    let found = problem(text) { fields throws(APIError) in try CompletionRequest(fields) }
    #expect(found?.status == 400)
    #expect(found?.parameter == key)
    #expect(found?.message.contains(key) == true)
  }

  @Test(
    "may name what is done anyway",
    arguments: [
      #""best_of": 1"#, #""suffix": """#, #""presence_penalty": 0"#,
      #""frequency_penalty": 0.0"#, #""logit_bias": {}"#, #""max_tokens": 0"#, #""stop": null"#, #""seed": -5"#,
    ])
  func harmless(member: String) {
    #expect(
      problem("{\"prompt\": \"a\", \(member)}") { fields throws(APIError) in try CompletionRequest(fields) } == nil)
  }

  @Test("has no more answers than one request may have")
  func choices() {
    let prompts = [String](repeating: "\"a\"", count: 20).joined(separator: ",")
    let found = problem("{\"prompt\": [\(prompts)], \"n\": 7}") { fields throws(APIError) in
      try CompletionRequest(fields)
    }
    #expect(found?.parameter == "n")
  }

  @Test(
    "is one JSON object in UTF-8", arguments: ["", "[]", "5", "{", #"{"prompt": 1e999}"#, #"{"a":1,"a":2}"#, "nul"])
  func notJSON(text: String) {
    let found = problem(text) { fields throws(APIError) in try CompletionRequest(fields) }
    #expect(found?.status == 400 && found?.code == "invalid_json")
  }

  @Test("is no deep tower and no broken text")
  func hostile() {
    let deep = [UInt8](repeating: UInt8(ascii: "["), count: 500_000)
    #expect(throws: APIError.self) { try fields(deep) }
    #expect(throws: APIError.self) { try fields(Array("{\"prompt\": \"".utf8) + [0xFF, 0x22, 0x7D]) }
  }
}

@Suite("A request for a chat")
struct ChatRequestTests {
  private func read(_ text: String) throws(APIError) -> ChatRequest { try ChatRequest(fields(text)) }

  @Test("takes content as text or parts of text")
  func content() throws {
    let request = try read(
      #"{"messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}"#
    )
    #expect(request.messages == [ChatMessage(role: "system", content: "x"), ChatMessage(role: "user", content: "ab")])
    #expect(request.common.maxTokens == nil && request.top == nil)
  }

  @Test("knows both names of the limit, and the newer one counts")
  func limits() throws {
    let messages = #""messages": [{"role": "user", "content": "a"}]"#
    #expect(try read("{\(messages), \"max_tokens\": 3}").common.maxTokens == 3)
    #expect(try read("{\(messages), \"max_tokens\": 3, \"max_completion_tokens\": 4}").common.maxTokens == 4)
    #expect(try read("{\(messages), \"logprobs\": true, \"top_logprobs\": 2}").top == 2)
    #expect(try read("{\(messages), \"logprobs\": true}").top == 0)
  }

  @Test(
    "is refused by the name of the field that is wrong",
    arguments: [
      ("messages", "[]"), ("messages", "null"), ("messages", #""hi""#), ("messages", "[1]"), ("messages", "[{}]"),
      ("messages", #"[{"role": 1, "content": "a"}]"#), ("messages", #"[{"role": "user"}]"#),
      ("messages", #"[{"role": "user", "content": null}]"#), ("messages", #"[{"role": "user", "content": 5}]"#),
      ("messages", #"[{"role": "user", "content": [{"type": "image_url"}]}]"#), ("max_tokens", "0"),
      ("max_completion_tokens", "-1"), ("top_logprobs", "1"), ("logprobs", "2"), ("tools", #"[{"type": "function"}]"#),
      ("response_format", #"{"type": "json_object"}"#), ("n", "0"),
    ])
  func wrong(key: String, value: String) {
    let messages = key == "messages" ? "" : #", "messages": [{"role": "user", "content": "a"}]"#
    let found = problem("{\"\(key)\": \(value)\(messages)}") { fields throws(APIError) in try ChatRequest(fields) }
    #expect(found?.status == 400 && found?.parameter == key)
  }
}

@Suite("A request for embeddings")
struct EmbeddingRequestTests {
  @Test("has an encoding, and no other width than the model's")
  func encodings() throws {
    #expect(try EmbeddingRequest(fields(#"{"input": "a"}"#)).encoding == .float)
    #expect(try EmbeddingRequest(fields(#"{"input": [[1]], "encoding_format": "base64"}"#)).encoding == .base64)
    for (key, value) in [("encoding_format", "\"int8\""), ("encoding_format", "1"), ("dimensions", "3")] {
      let found = problem("{\"input\": \"a\", \"\(key)\": \(value)}") { fields throws(APIError) in
        try EmbeddingRequest(fields)
      }
      #expect(found?.parameter == key)
    }
  }
}
