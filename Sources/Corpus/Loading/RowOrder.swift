package import Formats

/// Rows cut out of the shards as they are, without regard to where documents end.
///
/// A row is T + 1 tokens of one shard; the last one is a target only, and the first input of the next row.
package struct RowOrder: RowLayout {
  package enum Kind: String, CaseIterable, Sendable {
    /// Row i is tokens iT to iT + T; a shard's tail is left, and after the last shard the first one follows.
    case sequential
    /// Each pass takes the rows in another order, and cuts them at another offset.
    case shuffled
  }

  package let kind: Kind
  package let context: Int
  /// How many rows one pass over the data has.
  package let rowsPerEpoch: Int
  private let seed: UInt64
  /// The number of the first row of each shard in a pass in order, and the number behind the last.
  private let firstRows: [Int]
  /// By how many tokens a shard's rows may be moved.
  private let slacks: [Int]

  /// - Parameter counts: the number of tokens of each shard. With none of at least T + 1, ``rowsPerEpoch`` is 0.
  package init(_ kind: Kind, counts: [Int], context: Int, seed: UInt64) {
    precondition(context > 0)
    self.kind = kind
    self.context = context
    self.seed = seed
    var firstRows = [0]
    var slacks: [Int] = []
    for count in counts {
      var rows = max(0, (count - 1) / context)
      // One row fewer leaves room to move them all by up to T − 1 tokens.
      if kind == .shuffled, rows > 1 { rows = (count - context) / context }
      firstRows.append((firstRows.last ?? 0) + rows)
      slacks.append(kind == .shuffled ? max(0, min(context - 1, count - 1 - rows * context)) : 0)
    }
    self.firstRows = firstRows
    self.slacks = slacks
    rowsPerEpoch = firstRows.last ?? 0
  }

  package func forEachPiece(
    ofRow number: Int, _ body: (RowPiece) throws(FormatError) -> Void
  ) throws(FormatError) {
    try body(self[number])
  }

  /// Where the row of this number lies.
  package subscript(number: Int) -> RowPiece {
    let (epoch, place) = number.quotientAndRemainder(dividingBy: rowsPerEpoch)
    switch kind {
    case .sequential:
      let shard = shard(ofRow: place)
      return RowPiece(shard: shard, start: (place - firstRows[shard]) * context, count: context)
    case .shuffled:
      let row = Permutation(count: rowsPerEpoch, seed: seed, epoch: epoch)[place]
      let shard = shard(ofRow: row)
      let mixed = scrambled(scrambled(seed &+ UInt64(epoch)) ^ UInt64(shard) << 32)
      let offset = Int(mixed % UInt64(slacks[shard] + 1))
      return RowPiece(shard: shard, start: (row - firstRows[shard]) * context + offset, count: context)
    }
  }

  /// The shard whose rows include this one: the last whose first row isn't behind it.
  private func shard(ofRow row: Int) -> Int {
    firstRows.dropLast().partitionPoint { $0 <= row } - 1
  }
}
