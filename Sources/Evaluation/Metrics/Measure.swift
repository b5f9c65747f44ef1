/// A text that a model gave, and texts that are right.
package struct Prediction: Sendable, Equatable {
  package var text: String
  /// At least one.
  package var references: [String]

  package init(_ text: String, references: [String]) {
    self.text = text
    self.references = references
  }

  /// For signatures: how many references the examples have, or "var" where that differs.
  static func referenceCount(_ predictions: [Prediction]) -> String {
    let counts = Set(predictions.map(\.references.count))
    return counts.count == 1 ? "\(counts.first ?? 0)" : "var"
  }
}

/// What was worked out of each example, and how values follow from that for any choice of examples.
///
/// So a resample of the examples costs sums, and no text is read again.
struct Measure: Sendable {
  /// The names of the values.
  let keys: [String]
  /// Of examples.
  let count: Int
  /// The values over examples, each given by its index and as often as it is given.
  let values: @Sendable (_ examples: [Int]) -> [Double]

  init(keys: [String], count: Int, values: @escaping @Sendable ([Int]) -> [Double]) {
    (self.keys, self.count, self.values) = (keys, count, values)
  }

  /// Values that follow from sums.
  ///
  /// - Parameters:
  ///   - rows: what each example adds.
  ///   - score: gets the sums and the number of examples.
  init(keys: [String], rows: [[Double]], score: @escaping @Sendable (_ sums: [Double], _ count: Int) -> [Double]) {
    let width = rows.first?.count ?? 0
    let flat = Array(rows.joined())
    self.init(keys: keys, count: rows.count) { examples in
      var sums = [Double](repeating: 0, count: width)
      for example in examples {
        for column in 0..<width { sums[column] += flat[example * width + column] }
      }
      return score(sums, examples.count)
    }
  }

  /// Values that are the means of the examples' own.
  init(means keys: [String], rows: [[Double]]) {
    self.init(keys: keys, rows: rows) { sums, count in sums.map { $0 / Double(max(1, count)) } }
  }
}
