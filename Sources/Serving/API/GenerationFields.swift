import Formats
package import Generation

/// What completions and chats ask for alike.
package struct GenerationFields: Sendable, Equatable {
  /// The model's name, if given.
  package var model: String?
  /// Nil: as many as fit into the context.
  package var maxTokens: Int?
  /// Answers to each prompt.
  package var choices = 1
  package var sampling = SamplingOptions()
  package var stops: [String] = []
  package var streams = false
  package var includesUsage = false

  /// Answers to one request at most, those to all its prompts together.
  package static let choiceLimit = 128
  package static let stopLimit = 16
  /// Alternatives to a token at most.
  package static let topLimit = 20

  package init(_ fields: Fields) throws(APIError) {
    model = try fields.string("model")
    choices = try fields.integer("n", in: 1...Self.choiceLimit) ?? 1
    sampling.temperature = try fields.number("temperature", in: 0...2) ?? 1
    sampling.topP = try fields.number("top_p", in: 0...1) ?? 1
    sampling.topK = try fields.integer("top_k", in: -1...Int.max).map { max(0, $0) } ?? 0
    sampling.minP = try fields.number("min_p", in: 0...1) ?? 0
    sampling.repetitionPenalty = try fields.number("repetition_penalty", in: 0.01...100) ?? 1
    sampling.seed =
      try fields.integer("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
      ?? UInt64.random(in: 0...UInt64.max)
    stops = try Self.stops(fields)
    streams = try fields.bool("stream") ?? false
    if let options = try fields.fields("stream_options") {
      guard streams else { throw .invalid("stream_options", "only with \"stream\": true") }
      includesUsage = try options.bool("include_usage") ?? false
    }
    for key in ["presence_penalty", "frequency_penalty"] {
      if let penalty = try fields.number(key, in: -2...2), penalty != 0 { throw .unsupported(key, supported: "0") }
    }
    try fields.require("logit_bias", "no biases") { $0.object?.isEmpty == true }
  }

  private static func stops(_ fields: Fields) throws(APIError) -> [String] {
    guard let json = fields["stop"] else { return [] }
    let list = json.string.map { [JSON.string($0)] } ?? json.array
    guard let list else { throw .invalid("stop", "expected a string or a list of strings, found \(shown(json))") }
    guard list.count <= stopLimit else { throw .invalid("stop", "\(list.count) texts; at most \(stopLimit)") }
    var stops: [String] = []
    for element in list {
      guard let text = element.string else { throw .invalid("stop", "expected strings, found \(shown(element))") }
      if !text.isEmpty { stops.append(text) }
    }
    return stops
  }
}
