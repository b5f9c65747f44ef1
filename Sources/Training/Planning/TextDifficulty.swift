import Compute
import Formats
package import Corpus
import Foundation

/// What a counting model (``NGramModel``) makes of a text, by how much of it has been counted.
package struct TextDifficulty: Sendable {
  /// What was measured.
  package let points: [(tokens: Int, bitsPerToken: Double)]

  /// Tokens counted at most, and tokens that are predicted.
  private static let most = 1 << 20
  private static let predicted = 1 << 16
  /// Tokens that are read in one piece.
  private static let piece = 4096

  package init(points: [(tokens: Int, bitsPerToken: Double)]) {
    self.points = points
  }

  /// Counts pieces of the training split, drawn by chance, and predicts the validation split; where there is none, other
  /// pieces.
  ///
  /// - Throws: ``CorpusError``.
  package init(_ data: Dataset, vocabularySize: Int) throws(CorpusError) {
    var chance = PhiloxGenerator(seed: 0)
    var pieces = try Self.pieces(of: data.shards(of: .train)).shuffled(using: &chance)
    var held: [Piece]
    if data.tokenCount(of: .val) > 0 {
      held = try Self.pieces(of: data.shards(of: .val)).shuffled(using: &chance)
    } else {
      held = Array(pieces.prefix(pieces.count / 8 + 1))
      pieces.removeFirst(held.count)
    }
    let text = try Self.read(held, Self.predicted)
    let counted = try Self.read(pieces, Self.most)
    var points: [(tokens: Int, bitsPerToken: Double)] = []
    for size in [1 << 16, 1 << 18, 1 << 20].map({ min($0, counted.count) })
    where size > (points.last?.tokens ?? 0) && !text.isEmpty {
      points.append(
        (
          size,
          NGramModel.bitsPerToken(of: text, counted: Array(counted.prefix(size)), vocabularySize: vocabularySize)
        ))
    }
    self.points = points
  }

  /// How much slower the curve falls with each factor of e in tokens beyond what was counted: no text has a power law to
  /// zero.
  private static let flattening = 0.4

  /// Between what was counted a power of the tokens; beyond, one whose exponent shrinks.
  package func bitsPerToken(tokens: Double) -> Double {
    guard let last = points.last else { return 8 }
    guard points.count > 1 else { return last.bitsPerToken }
    // The pair around, or the nearest.
    let upper = points.dropFirst().firstIndex { Double($0.tokens) >= tokens } ?? points.count - 1
    let (a, b) = (points[upper - 1], points[upper])
    let slope = log(b.bitsPerToken / a.bitsPerToken) / log(Double(b.tokens) / Double(a.tokens))
    let distance = log(max(1, tokens) / Double(b.tokens))
    let beyond = distance > 0 ? (1 - exp(-Self.flattening * distance)) / Self.flattening : distance
    return b.bitsPerToken * exp(slope * beyond)
  }

  // MARK: Reading

  private struct Piece {
    let shard: TokenShard
    let start, count: Int
  }

  private static func pieces(of shards: [TokenShard]) -> [Piece] {
    shards.flatMap { shard in
      stride(from: 0, to: shard.count, by: piece).map {
        Piece(shard: shard, start: $0, count: min(piece, shard.count - $0))
      }
    }
  }

  private static func read(_ pieces: [Piece], _ most: Int) throws(CorpusError) -> [Int32] {
    var tokens: [Int32] = []
    for piece in pieces where tokens.count < most {
      tokens += try withFiles(try piece.shard.read(piece.start..<piece.start + piece.count))
    }
    return Array(tokens.prefix(most))
  }
}
