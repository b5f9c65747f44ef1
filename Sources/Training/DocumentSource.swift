package import Models

/// Rows of text in which no token sees another document than its own, and each document begins at position 0.
///
/// The end of a document is the first token that the next one sees, as where a model begins to write.
package final class DocumentSource: BatchSource {
  private let text: any BatchSource
  private let endOfText: Int32
  private let isBidirectional: Bool

  /// - Parameters:
  ///   - text: gives the rows.
  ///   - endOfText: the token that stands between documents.
  package init(_ text: any BatchSource, endOfText: Int32, isBidirectional: Bool) {
    self.text = text
    self.endOfText = endOfText
    self.isBidirectional = isBidirectional
  }

  package var mask: MaskKind { .ranges }
  package var dataWaitSeconds: Double { text.dataWaitSeconds }

  package func move(to place: DataPlace) throws { try text.move(to: place) }

  package func next(_ batch: TokenBatch) throws {
    try text.next(batch)
    for row in 0..<batch.rows {
      let tokens = row * batch.time..<(row + 1) * batch.time
      var start = tokens.lowerBound
      while start < tokens.upperBound {
        var end = start + 1
        // Where a row is packed, the rest of a long document begins without an end token: what stands there isn't what
        // was to come next.
        while end < tokens.upperBound, batch.ids[end] != endOfText, batch.targets[end - 1] == batch.ids[end] {
          end += 1
        }
        batch.see(start..<end, isBidirectional: isBidirectional)
        start = end
      }
    }
  }
}
