/// Which tokens each row of a run reads: a function of the row's number alone, so that a run can start anywhere.
///
/// A row is T + 1 tokens of one shard; the last one is a target only, and the first input of the next row.
package struct RowOrder: Sendable {
  package enum Kind: String, CaseIterable, Sendable {
    /// Row i is tokens iT to iT + T; a shard's tail is left, and after the last shard the first one follows.
    case sequential
    /// Each pass takes the rows in another order, and cuts them at another offset.
    case shuffled
  }

  package struct Row: Hashable, Sendable {
    package let shard: Int
    /// The position of its first token.
    package let start: Int
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

  /// Where the row of this number lies; rows count on over all passes.
  package subscript(number: Int) -> Row {
    let (epoch, place) = number.quotientAndRemainder(dividingBy: rowsPerEpoch)
    switch kind {
    case .sequential:
      let shard = shard(ofRow: place)
      return Row(shard: shard, start: (place - firstRows[shard]) * context)
    case .shuffled:
      let row = Permutation(count: rowsPerEpoch, seed: seed, epoch: epoch)[place]
      let shard = shard(ofRow: row)
      let mixed = scrambled(scrambled(seed &+ UInt64(epoch)) ^ UInt64(shard) << 32)
      let offset = Int(mixed % UInt64(slacks[shard] + 1))
      return Row(shard: shard, start: (row - firstRows[shard]) * context + offset)
    }
  }

  /// The shard whose rows include this one: the last whose first row isn't behind it.
  private func shard(ofRow row: Int) -> Int {
    var low = 0
    var high = firstRows.count - 1
    while high - low > 1 {
      let middle = (low + high) / 2
      if firstRows[middle] <= row { low = middle } else { high = middle }
    }
    return low
  }
}
