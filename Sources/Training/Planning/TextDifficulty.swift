import Compute
import Formats
package import Corpus
import Foundation

/// What a counting model (``NGramModel``) makes of a text, by how much of it has been counted.
package struct TextDifficulty: Sendable {
  /// What was measured.
  package let points: [(tokens: Int, bitsPerToken: Double)]

  /// Tokens at which the curve is first measured at most, up to which in steps of four, and at which the last time.
  private static let (first, coarse, last) = (1 << 16, 1 << 20, 1 << 24)
  /// Tokens that are predicted.
  private static let predicted = 1 << 16
  /// Tokens that are read in one piece: few, so that many places of the text are seen.
  private static let piece = 512

  package init(points: [(tokens: Int, bitsPerToken: Double)]) {
    self.points = points
  }

  /// Counts pieces of the training split, drawn by chance, and predicts the validation split; where there is none, other
  /// pieces.
  ///
  /// - Parameter limit: seconds that it may take, as far as three points are had.
  /// - Throws: ``CorpusError``.
  package init(_ data: Dataset, vocabularySize: Int, seconds limit: Double) throws(CorpusError) {
    let start = ContinuousClock.now
    var chance = PhiloxGenerator(seed: 0)
    var pieces = try Self.pieces(of: data.shards(of: .train)).shuffled(using: &chance)
    var held: [Piece]
    if data.tokenCount(of: .val) > 0 {
      held = try Self.pieces(of: data.shards(of: .val)).shuffled(using: &chance)
    } else {
      held = Array(pieces.prefix(pieces.count / 8 + 1))
      pieces.removeFirst(held.count)
    }
    let text = try Self.read(held.prefix(Self.predicted / Self.piece))
    var model = NGramModel(of: text, vocabularySize: vocabularySize)
    var points: [(tokens: Int, bitsPerToken: Double)] = []
    var rest = pieces[...]
    var took = 0.0
    // Of a small text too there must be a slope to tell.
    var mark = min(Self.first, pieces.reduce(0) { $0 + $1.count } / 16)
    while mark <= Self.last, !text.isEmpty, !rest.isEmpty {
      let before = points.last?.tokens ?? 0
      let begin = seconds(ContinuousClock.now - start)
      if points.count > 2 {
        // What comes next is three times the last at most; from little more than was counted no slope can be told.
        guard begin + 3 * took < limit, 2 * Self.piece * rest.count > before else { break }
      }
      let count = max(1, (mark - before + Self.piece - 1) / Self.piece)
      let counted = try Self.read(rest.prefix(count))
      rest = rest.dropFirst(count)
      model.count(counted)
      points.append((before + counted.count, model.bitsPerToken))
      took = seconds(ContinuousClock.now - start) - begin
      mark = max(1, mark) * (mark < Self.coarse ? 4 : 2)
    }
    self.points = points
  }

  /// How much slower the curve falls with each factor of e in tokens beyond what was counted: no text has a power law to
  /// zero. What is counted of the texts of Benchmarks/scaling.py flattens by 0.05 to 0.3.
  private static let flattening = 0.2

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

  /// −d ln H / d ln tokens over the last factor of four before so many tokens, and a little where nothing falls: of text that
  /// counting finds nothing in, a law that knows only this must still tell models apart.
  package func steepness(tokens: Double) -> Double {
    max(0.01, log(bitsPerToken(tokens: tokens / 4) / bitsPerToken(tokens: tokens)) / log(4))
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

  private static func read(_ pieces: some Sequence<Piece>) throws(CorpusError) -> [Int32] {
    var tokens: [Int32] = []
    for piece in pieces { tokens += try withFiles(try piece.shard.read(piece.start..<piece.start + piece.count)) }
    return tokens
  }
}
