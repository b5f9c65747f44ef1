/// Puts sequences of different lengths side by side into rows: each goes into the first row that has room for it. Those
/// longer than a row are left out.
struct RowPacking {
  /// Indices of the sequences in each row.
  private(set) var rows: [[Int]] = []

  /// Rows that a sequence may still go into; more would pack little better and take longer.
  private static let openRows = 64

  /// - Parameter perRow: sequences of a row at most.
  init(lengths: [Int], context: Int, perRow: Int = .max) {
    var used: [Int] = []
    for (index, length) in lengths.enumerated() where length <= context {
      let open = max(0, rows.count - Self.openRows)..<rows.count
      if let row = open.first(where: { used[$0] + length <= context && rows[$0].count < perRow }) {
        rows[row].append(index)
        used[row] += length
      } else {
        rows.append([index])
        used.append(length)
      }
    }
  }
}
