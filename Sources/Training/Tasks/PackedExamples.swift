package import Models

/// Examples side by side in rows of T tokens. None sees another one, and each begins at position 0, so that an
/// example's loss is that of the example alone.
package struct PackedExamples: ExampleRows {
  package let context: Int
  private let examples: [AnswerExample]
  /// Indices of the examples in each row.
  private let rows: [[Int]]

  /// Examples longer than a row are left out.
  package init(_ examples: [AnswerExample], context: Int) {
    self.context = context
    self.examples = examples
    rows = RowPacking(lengths: examples.map(\.length), context: context).rows
  }

  package var rowCount: Int { rows.count }
  /// Tokens that are learned in one pass.
  package var targetCount: Int {
    rows.reduce(0) { $0 + $1.reduce(0) { $0 + examples[$1].answerTokens } }
  }
  /// Tokens that are read in one pass.
  package var tokens: Int { rows.reduce(0) { $0 + $1.reduce(0) { $0 + examples[$1].length } } }

  /// Writes row `row` into row `place` of a batch; nil: an empty one.
  package func write(_ row: Int?, to place: Int, of batch: TokenBatch) {
    batch.clear(row: place)
    guard let row else { return }
    var start = 0
    for index in rows[row] {
      let example = examples[index]
      batch.place(example.ids.dropLast(), row: place, start: start, isBidirectional: false)
      for t in 0..<example.length where example.isLearned[t + 1] {
        batch.targets[place * context + start + t] = example.ids[t + 1]
        batch.weights[place * context + start + t] = 1
      }
      start += example.length
    }
  }
}
