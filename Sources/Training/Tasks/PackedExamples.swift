package import Models

/// Examples side by side in rows of T tokens. None sees another one, and each begins at position 0, so that an
/// example's loss is that of the example alone.
package struct PackedExamples: ExampleRows {
  package let context: Int
  /// Longer than a row: they are left out.
  package let tooLong: Int
  private let examples: [AnswerExample]
  /// Indices of the examples in each row.
  private let rows: [[Int]]

  /// Rows that an example may still go into; more would pack little better and take longer.
  private static let openRows = 64

  /// Puts each example into the first row that has room for it.
  package init(_ examples: [AnswerExample], context: Int) {
    self.context = context
    self.examples = examples
    var rows: [[Int]] = []
    var lengths: [Int] = []
    var tooLong = 0
    for (index, example) in examples.enumerated() {
      if example.length > context {
        tooLong += 1
        continue
      }
      let open = max(0, rows.count - Self.openRows)..<rows.count
      if let row = open.first(where: { lengths[$0] + example.length <= context }) {
        rows[row].append(index)
        lengths[row] += example.length
      } else {
        rows.append([index])
        lengths.append(example.length)
      }
    }
    (self.rows, self.tooLong) = (rows, tooLong)
  }

  package var rowCount: Int { rows.count }
  package var exampleCount: Int { examples.count - tooLong }
  /// Tokens that are learned in one pass.
  package var targetCount: Int {
    rows.reduce(0) { $0 + $1.reduce(0) { $0 + examples[$1].answerTokens } }
  }
  /// Tokens that are read in one pass.
  package var tokens: Int { rows.reduce(0) { $0 + $1.reduce(0) { $0 + examples[$1].length } } }

  /// Writes row `row` into row `place` of a batch; nil: an empty one.
  package func write(_ row: Int?, to place: Int, of batch: TokenBatch) {
    let first = place * context
    var t = 0
    if let row {
      for index in rows[row] {
        let example = examples[index]
        let start = t
        for i in 0..<example.length {
          let target = i + 1
          set(
            batch, first + t, id: example.ids[i], position: i, target: example.ids[target],
            weight: example.isLearned[target] ? 1 : 0, keys: start..<t + 1)
          t += 1
        }
      }
    }
    // Padding sees itself alone and counts for nothing.
    while t < context {
      set(batch, first + t, id: 0, position: 0, target: 0, weight: 0, keys: t..<t + 1)
      t += 1
    }
  }

  private func set(
    _ batch: TokenBatch, _ index: Int, id: Int32, position: Int, target: Int32, weight: Float, keys: Range<Int>
  ) {
    batch.ids[index] = id
    batch.positions[index] = Int32(position)
    batch.targets[index] = target
    batch.weights[index] = weight
    batch.ranges[2 * index] = Int32(keys.lowerBound)
    batch.ranges[2 * index + 1] = Int32(keys.upperBound)
  }
}
