package import Formats

/// Answers in pieces: `text/event-stream` as the HTML standard has it.
package enum ServerSentEvents {
  package static let mediaType = "text/event-stream; charset=utf-8"

  /// One event. A JSON text has no line break outside of its strings, and none inside that isn't escaped.
  package static func event(_ json: JSON) -> [UInt8] {
    Array("data: ".utf8) + json.serializedBytes() + Array("\n\n".utf8)
  }

  /// The word that ends OpenAI's streams.
  package static let end = Array("data: [DONE]\n\n".utf8)
}
