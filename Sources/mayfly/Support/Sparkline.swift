/// A curve in a line of text.
enum Sparkline {
  private static let blocks = Array("▁▂▃▄▅▆▇█")

  /// - Parameter width: characters, at most.
  static func text(_ values: [Double], width: Int) -> String {
    let values = means(values.filter(\.isFinite), count: width).filter(\.isFinite)
    guard let low = values.min(), let high = values.max() else { return "" }
    // Halves, as the difference of two finite numbers may be none.
    let range = high / 2 - low / 2
    return String(
      values.map { value in
        let share = range > 0 ? (value / 2 - low / 2) / range : 0
        return blocks[Int((share * Double(blocks.count - 1)).rounded())]
      })
  }

  /// Means of neighbours, so many at most.
  private static func means(_ values: [Double], count: Int) -> [Double] {
    guard count > 0, values.count > count else { return values }
    return (0..<count).map { place in
      let part = values[place * values.count / count..<(place + 1) * values.count / count]
      return part.reduce(0, +) / Double(part.count)
    }
  }
}
