/// Values as bars in lines of text, drawn from a little below the least on: what differs is to be seen.
struct BarPlot {
  struct Row {
    /// One character, or none.
    let mark: String
    let name: String
    let value: Double
    /// What stands behind the bar.
    let text: String
  }

  let rows: [Row]

  private static let width = 40.0

  var text: String {
    let values = rows.map(\.value).filter(\.isFinite)
    guard let low = values.min(), let high = values.max() else { return "" }
    let names = rows.map(\.name.count).max() ?? 0
    return rows.map { row in
      // The least has a bar of a tenth.
      let share = high > low ? 0.1 + 0.9 * (min(row.value, high) - low) / (high - low) : 1
      let bar = String(repeating: "█", count: row.value.isFinite ? Int((share * Self.width).rounded()) : 0)
      let name = String(repeating: " ", count: names - row.name.count) + row.name
      return "\(row.mark.isEmpty ? " " : row.mark) \(name) \(bar) \(row.text)"
    }.joined(separator: "\n")
  }
}
