package import Formats

/// Rows filled with whole documents: a document is cut only where it is longer than a row.
///
/// A document is what stands between two end tokens. Its piece begins with the end token before it and ends with the token
/// before its own, so that every prediction of the split is made exactly once, none of them across documents. One of more
/// than T tokens is cut into rows of T and a rest; what is shorter than a row is put, the longest first, where the least
/// room is left behind it. What stays free is padding.
///
/// Ding et al., "Fewer Truncations Improve Language Modeling", arXiv:2404.10830, section 3.
package struct PackedRows: RowLayout {
  package let rowsPerEpoch: Int
  private let kind: RowOrder.Kind
  private let seed: UInt64
  /// Row after row.
  private let pieces: [StoredPiece]
  /// Where each row's pieces begin, and the number behind the last.
  private let firstPieces: [Int32]

  /// Smaller than a ``RowPiece``: there may be very many documents.
  private struct StoredPiece {
    var start: Int
    var shard: Int32
    var count: Int32
  }

  /// Reads every shard once.
  ///
  /// - Parameters:
  ///   - context: T, inputs of a row.
  ///   - endOfText: the token that stands behind each document.
  package init(
    _ kind: RowOrder.Kind, _ shards: [TokenShard], context: Int, endOfText: Int32, seed: UInt64
  ) throws(FormatError) {
    precondition(context > 0)
    self.kind = kind
    self.seed = seed
    var found: [StoredPiece] = []
    for (index, shard) in shards.enumerated() {
      try shard.forEachDocument(endOfText: endOfText) { start, count in
        for offset in stride(from: 0, to: count, by: context) {
          found.append(
            StoredPiece(start: start + offset, shard: Int32(index), count: Int32(min(context, count - offset))))
        }
      }
    }
    let rows = Self.rows(of: found.map { Int($0.count) }, context: context)
    rowsPerEpoch = (rows.max() ?? -1) + 1
    // Pieces by row, in the order of the text in each (a counting sort).
    var firsts = [Int32](repeating: 0, count: rowsPerEpoch + 1)
    for row in rows { firsts[row + 1] += 1 }
    for row in 0..<rowsPerEpoch { firsts[row + 1] += firsts[row] }
    var places = firsts
    var sorted = found
    for (piece, row) in zip(found, rows) {
      sorted[Int(places[row])] = piece
      places[row] += 1
    }
    (pieces, firstPieces) = (sorted, firsts)
  }

  package func forEachPiece(
    ofRow number: Int, _ body: (RowPiece) throws(FormatError) -> Void
  ) throws(FormatError) {
    let (epoch, place) = number.quotientAndRemainder(dividingBy: rowsPerEpoch)
    let row =
      kind == .sequential ? place : Permutation(count: rowsPerEpoch, seed: seed, epoch: epoch)[place]
    for index in Int(firstPieces[row])..<Int(firstPieces[row + 1]) {
      let piece = pieces[index]
      try body(RowPiece(shard: Int(piece.shard), start: piece.start, count: Int(piece.count)))
    }
  }

  /// Best fit, the longest first: the row of each piece. O(pieces · log context) or less.
  package static func rows(of counts: [Int], context: Int) -> [Int] {
    // By length, and among equals in order (a counting sort).
    var firsts = [Int](repeating: 0, count: context + 2)
    for count in counts { firsts[context - count + 1] += 1 }
    for length in 0...context { firsts[length + 1] += firsts[length] }
    var order = [Int](repeating: 0, count: counts.count)
    for (index, count) in counts.enumerated() {
      order[firsts[context - count]] = index
      firsts[context - count] += 1
    }
    var rows = [Int](repeating: 0, count: counts.count)
    var room = RoomIndex(context: context)
    var next = 0
    for index in order {
      let row: Int
      let left: Int
      if let found = room.take(atLeast: counts[index]) {
        (row, left) = (found.row, found.room - counts[index])
      } else {
        (row, left) = (next, context - counts[index])
        next += 1
      }
      rows[index] = row
      if left > 0 { room.add(row: row, room: left) }
    }
    return rows
  }
}

/// Rows by how much room they have, and which room is the least that suffices.
private struct RoomIndex {
  /// The rows with a room, by it.
  private var rows: [[Int32]]
  /// A bit for each room that some row has, 64 in a word; and a bit for each word that has one.
  private var words: [UInt64]
  private var summary: [UInt64]

  init(context: Int) {
    rows = Array(repeating: [], count: context + 1)
    words = Array(repeating: 0, count: context / 64 + 1)
    summary = Array(repeating: 0, count: context / 4096 + 1)
  }

  mutating func add(row: Int, room: Int) {
    rows[room].append(Int32(row))
    words[room / 64] |= 1 << UInt64(room % 64)
    summary[room / 4096] |= 1 << UInt64(room / 64 % 64)
  }

  /// Takes out a row of the least room that is no less than `count`.
  mutating func take(atLeast count: Int) -> (row: Int, room: Int)? {
    guard let room = least(from: count), let row = rows[room].popLast() else { return nil }
    if rows[room].isEmpty {
      words[room / 64] &= ~(1 << UInt64(room % 64))
      if words[room / 64] == 0 { summary[room / 4096] &= ~(1 << UInt64(room / 64 % 64)) }
    }
    return (Int(row), room)
  }

  private func least(from count: Int) -> Int? {
    let word = count / 64
    guard word < words.count else { return nil }
    let bits = words[word] & (~0 << UInt64(count % 64))
    if bits != 0 { return word * 64 + bits.trailingZeroBitCount }
    var index = (word + 1) / 64
    var mask: UInt64 = ~0 << UInt64((word + 1) % 64)
    while index < summary.count {
      let found = summary[index] & mask
      if found != 0 {
        let word = index * 64 + found.trailingZeroBitCount
        return word * 64 + words[word].trailingZeroBitCount
      }
      (index, mask) = (index + 1, ~0)
    }
    return nil
  }
}

extension TokenShard {
  /// Calls `body` with where a document's inputs begin and how many there are: from the end token before it to the token
  /// before its own end token. What stands behind the last end token counts as a document.
  fileprivate func forEachDocument(
    endOfText: Int32, _ body: (_ start: Int, _ count: Int) -> Void
  ) throws(FormatError) {
    let block = UnsafeMutableBufferPointer<Int32>.allocate(capacity: max(1, min(count, 1 << 18)))
    defer { block.deallocate() }
    var first = 0
    for start in stride(from: 0, to: count, by: block.count) {
      let part = UnsafeMutableBufferPointer(rebasing: block[..<min(block.count, count - start)])
      try read(into: part, at: start)
      for index in part.indices where part[index] == endOfText {
        if start + index > first { body(first, start + index - first) }
        first = start + index
      }
    }
    if first < count - 1 { body(first, count - 1 - first) }
  }
}
