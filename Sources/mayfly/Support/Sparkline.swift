/// A curve in a line of text.
enum Sparkline {
  private static let blocks = Array("▁▂▃▄▅▆▇█")

  /// - Parameter width: characters, at most.
  static func text(_ values: [Double], width: Int) -> String {
    let values = means(values.filter(\.isFinite), count: width)
    guard let low = values.min(), let high = values.max() else { return "" }
    let scale = high > low ? Double(blocks.count - 1) / (high - low) : 0
    return String(values.map { blocks[Int((($0 - low) * scale).rounded())] })
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
