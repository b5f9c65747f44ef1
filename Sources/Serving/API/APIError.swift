package import Formats

/// What a client is told when its request can't be served, in OpenAI's form.
package struct APIError: Error, Equatable, Sendable {
  /// The HTTP status.
  package var status: Int
  package var message: String
  package var type = "invalid_request_error"
  /// The field that is wrong.
  package var parameter: String?
  package var code: String?
  /// Seconds after which it is worth another try.
  package var retryAfter: Int?
  /// What the route can be asked with, where the method was wrong.
  package var allowedMethods: [String]?

  package var json: JSON {
    [
      "error": [
        "message": .string(message), "type": .string(type), "param": parameter.map { .string($0) } ?? .null,
        "code": code.map { .string($0) } ?? .null,
      ]
    ]
  }
}

extension APIError {
  package static func invalid(_ parameter: String?, _ problem: String, code: String? = nil) -> APIError {
    let message = parameter.map { "\($0): \(problem)" } ?? problem
    return APIError(status: 400, message: message, parameter: parameter, code: code)
  }

  package static func unsupported(_ parameter: String, supported: String) -> APIError {
    invalid(parameter, "this server supports only \(supported)", code: "unsupported_parameter")
  }

  package static func contextExceeded(_ parameter: String, tokens: Int, limit: Int) -> APIError {
    invalid(
      parameter, "\(tokens) tokens are more than the context of \(limit); shorten the text",
      code: "context_length_exceeded")
  }

  package static func noSuchModel(_ name: String, served: String) -> APIError {
    APIError(
      status: 404, message: "the model '\(name)' isn't served here; '\(served)' is", parameter: "model",
      code: "model_not_found")
  }

  package static func bodyTooLarge(limit: Int) -> APIError {
    APIError(status: 413, message: "the request is larger than \(limit) bytes", code: "request_too_large")
  }

  package static let noTokenizer = APIError(
    status: 400, message: "this model has no tokenizer: give token ids instead of text", code: "no_tokenizer")

  package static let notGenerating = APIError(
    status: 400,
    message: "this model can't continue a text: it sees both sides of a token, or classifies; it gives embeddings",
    code: "unsupported_model")

  package static let queueFull = APIError(
    status: 429, message: "too many requests are waiting; try again in a moment", type: "rate_limit_error",
    code: "queue_full", retryAfter: 1)

  package static let stopping = APIError(
    status: 503, message: "the server is stopping", type: "server_error", code: "server_stopping", retryAfter: 5)

  /// What went wrong inside is for the log, not for the client.
  package static let failed = APIError(
    status: 500, message: "the request failed inside the server", type: "server_error", code: "internal_error")

  /// The client has gone: nobody reads this, it is for the metrics (nginx's number).
  static let disconnected = APIError(status: 499, message: "the client closed the connection", code: "disconnected")

  static let wrongHost = APIError(
    status: 403, message: "this server answers to localhost and 127.0.0.1 only", code: "wrong_host")

  static let wrongKey = APIError(
    status: 401, message: "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'",
    code: "invalid_api_key")

  static let noLength = APIError(
    status: 411, message: "the request has no body and no Content-Length", code: "length_required")

  static func noSuchRoute(_ path: String) -> APIError {
    APIError(status: 404, message: "there is nothing at \(path.prefix(100))", code: "not_found")
  }

  static func wrongMethod(_ method: String, allowed: [String]) -> APIError {
    APIError(
      status: 405, message: "\(method) isn't possible here, only \(allowed.joined(separator: ", "))",
      code: "method_not_allowed", allowedMethods: allowed)
  }

  static func wrongType(_ type: String) -> APIError {
    APIError(
      status: 415, message: "the body is \(type.prefix(100)); expected application/json",
      code: "unsupported_media_type")
  }
}
