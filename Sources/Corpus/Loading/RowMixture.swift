package import Formats

/// Rows of several data sets, as many of each as its weight says.
///
/// Of every ``blockRows`` rows a set gives its share, the same number each time: the next ones of its own order. Within the
/// block all are shuffled. So each row hangs on its number only, and any stretch of a run holds the sets in their shares.
package struct RowMixture: RowLayout {
  private let layouts: [any RowLayout]
  /// The number of each layout's first shard among all.
  private let firstShards: [Int]
  /// Where each layout's rows of a block begin, and the number behind the last.
  private let bounds: [Int]
  private let seed: UInt64

  static let blockRows = 4096

  /// - Parameters:
  ///   - layouts: with how many shards each has.
  ///   - weights: any positive numbers; what counts is their ratio.
  package init(_ layouts: [(rows: any RowLayout, shards: Int)], weights: [Double], seed: UInt64) {
    precondition(layouts.count == weights.count && weights.allSatisfy { $0 > 0 })
    self.layouts = layouts.map(\.rows)
    self.seed = seed
    firstShards = layouts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.shards) }
    let whole = weights.reduce(0, +)
    // However small its weight, a set that was named is seen.
    var shares = weights.map { max(1, Int(($0 / whole * Double(Self.blockRows)).rounded())) }
    let largest = shares.indices.max { shares[$0] < shares[$1] } ?? 0
    shares[largest] += Self.blockRows - shares.reduce(0, +)
    bounds = shares.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }

  /// Until the set has been read that is read through first, the others would have been read so many times over; what is
  /// called a pass of all is as many rows as they have together.
  package var rowsPerEpoch: Int { layouts.reduce(0) { $0 + $1.rowsPerEpoch } }

  package func forEachPiece(
    ofRow number: Int, _ body: (RowPiece) throws(FormatError) -> Void
  ) throws(FormatError) {
    let (block, place) = number.quotientAndRemainder(dividingBy: Self.blockRows)
    let drawn = Permutation(count: Self.blockRows, seed: scrambled(seed), epoch: block)[place]
    var index = 0
    while index < layouts.count - 1, drawn >= bounds[index + 1] { index += 1 }
    let share = bounds[index + 1] - bounds[index]
    let shard = firstShards[index]
    try layouts[index].forEachPiece(ofRow: block * share + drawn - bounds[index]) { piece throws(FormatError) in
      try body(RowPiece(shard: shard + piece.shard, start: piece.start, count: piece.count))
    }
  }
}
