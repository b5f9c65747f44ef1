package import Models

/// A text as tokens, and the index of its label.
package struct LabelledText: Sendable, Equatable {
  package let ids: [Int32]
  package let label: Int

  package init(ids: [Int32], label: Int) {
    (self.ids, self.label) = (ids, label)
  }
}

/// Labelled texts side by side in rows of T tokens; each is read as if it were alone, and each has one target.
package struct LabelledRows: ExampleRows {
  package let context: Int
  package let perRow: Int?
  private let texts: [LabelledText]
  private let rows: [[Int]]
  private let config: ModelConfig
  /// How much a text of each label counts.
  private let labelWeights: [Float]

  /// Short texts could fill a row by dozens: no more than these, so that room for targets stays small.
  private static let mostPerRow = 64

  /// - Parameters:
  ///   - texts: none longer than the context.
  ///   - labelWeights: one for each label.
  package init(_ texts: [LabelledText], context: Int, config: ModelConfig, labelWeights: [Float]) {
    precondition(texts.allSatisfy { $0.ids.count <= context && labelWeights.indices.contains($0.label) })
    (self.context, self.texts, self.config, self.labelWeights) = (context, texts, config, labelWeights)
    rows = RowPacking(lengths: texts.map(\.ids.count), context: context, perRow: Self.mostPerRow).rows
    perRow = max(1, rows.map(\.count).max() ?? 1)
  }

  package var rowCount: Int { rows.count }
  package var targetCount: Int { texts.count }
  package var tokens: Int { texts.reduce(0) { $0 + $1.ids.count } }

  package func write(_ row: Int?, to place: Int, of batch: TokenBatch) {
    batch.clear(row: place)
    guard let row else { return }
    var start = 0
    for (number, index) in rows[row].enumerated() {
      let text = texts[index]
      let tokens = start..<start + text.ids.count
      batch.place(text.ids, row: place, start: start, isBidirectional: config.isBidirectional)
      batch.setPool(config.pooling.tokens(tokens), row: place, place: number)
      let target = batch.targetRange(place..<place + 1).lowerBound + number
      batch.targets[target] = Int32(text.label)
      batch.weights[target] = labelWeights[text.label]
      start = tokens.upperBound
    }
  }
}
