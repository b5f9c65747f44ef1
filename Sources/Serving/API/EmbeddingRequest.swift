import Formats

/// `POST /v1/embeddings`.
package struct EmbeddingRequest: Sendable, Equatable {
  package enum Encoding: String, Sendable { case float, base64 }

  package var model: String?
  package var inputs: [Prompt]
  package var encoding: Encoding

  /// Texts in one request at most.
  package static let inputLimit = 2048

  /// - Throws: ``APIError``.
  package init(_ fields: Fields) throws(APIError) {
    model = try fields.string("model")
    inputs = try Prompt.read("input", of: fields, limit: Self.inputLimit)
    let name = try fields.string("encoding_format") ?? Encoding.float.rawValue
    guard let encoding = Encoding(rawValue: name) else {
      throw .invalid("encoding_format", "expected \"float\" or \"base64\", found \"\(name)\"")
    }
    self.encoding = encoding
    try fields.require("dimensions", "the model's own width") { _ in false }
  }
}
