import Formats
import Serving
import Testing

@Suite("Serving errors")
struct ServingErrorTests {
  @Test("name the address and what to do")
  func describes() {
    let error = ServingError.address(host: "127.0.0.1", port: 80, reason: "permission denied")
    #expect(error.description.contains("127.0.0.1:80"))
    #expect(error.description.contains("--port"))
    #expect(error.exitCode == ContractExit.failed)
    #expect(ServingError.cutOff(seconds: 30).description.contains("30 seconds"))
  }

  @Test("reach clients in OpenAI's form")
  func form() {
    #expect(
      APIError.invalid("n", "expected 1", code: "x").json == [
        "error": ["message": "n: expected 1", "type": "invalid_request_error", "param": "n", "code": "x"]
      ])
    #expect(APIError.failed.json["error"]?["param"]?.isNull == true)
    #expect(APIError.queueFull.status == 429 && APIError.queueFull.retryAfter != nil)
    #expect(APIError.contextExceeded("prompt", tokens: 9, limit: 8).code == "context_length_exceeded")
  }
}

@Suite("Server-sent events")
struct ServerSentEventsTests {
  @Test("are a line each, whatever stands in the text")
  func lines() {
    let event = String(decoding: ServerSentEvents.event(["text": "a\nb\r\n\n雪 data: [DONE]"]), as: UTF8.self)
    #expect(event == "data: {\"text\":\"a\\nb\\r\\n\\n雪 data: [DONE]\"}\n\n")
  }
}
