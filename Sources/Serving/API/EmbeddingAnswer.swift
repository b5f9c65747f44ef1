import Formats
import Foundation

/// The document that answers `POST /v1/embeddings`.
struct EmbeddingAnswer {
  let request: EmbeddingRequest
  let model: ModelInfo

  func whole(_ vectors: [[Float]], _ usage: Usage) -> JSON {
    [
      "object": "list", "model": .string(model.name),
      "data": JSON(
        vectors.enumerated().map { index, vector in
          ["object": "embedding", "index": JSON(index), "embedding": encoded(vector)]
        }),
      "usage": ["prompt_tokens": JSON(usage.prompt), "total_tokens": JSON(usage.prompt)],
    ]
  }

  private func encoded(_ vector: [Float]) -> JSON {
    switch request.encoding {
    case .float: JSON(vector.map { JSON($0) })
    case .base64:
      // Little-endian fp32.
      .string(
        Data(vector.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian) { Array($0) } }).base64EncodedString())
    }
  }
}
