/// A table for terminals: columns as wide as what stands in them, numbers to the right.
struct TextTable {
  let heads: [String]
  /// Columns that begin at the left; the others end at the right.
  let left: Set<Int>
  var rows: [[String]] = []

  var text: String {
    let widths = heads.indices.map { column in ([heads] + rows).map { $0[column].count }.max() ?? 0 }
    let lines = ([heads] + rows).map { cells in
      cells.enumerated().map { column, cell in
        let space = String(repeating: " ", count: widths[column] - cell.count)
        return left.contains(column) ? cell + space : space + cell
      }.joined(separator: "  ")
    }
    return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n")
  }
}
