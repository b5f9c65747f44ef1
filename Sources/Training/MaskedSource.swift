package import Evaluation
package import Models

/// Rows of text of which some tokens are hidden and to be filled in. Which ones depends on the row's number in the run
/// alone: neither on micro-batches nor on where a run was resumed.
package final class MaskedSource: BatchSource {
  private let text: any BatchSource
  private let masking: Masking
  private var row: Int

  /// - Parameters:
  ///   - text: gives the rows; its targets are not used.
  ///   - startRow: rows that the run has taken before.
  package init(_ text: any BatchSource, masking: Masking, startRow: Int = 0) {
    self.text = text
    self.masking = masking
    row = startRow
  }

  package var mask: MaskKind { text.mask == .ranges ? .ranges : .bidirectional }
  package var dataWaitSeconds: Double { text.dataWaitSeconds }

  package func move(to place: DataPlace) throws {
    try text.move(to: place)
    row = place.row
  }

  package func next(_ batch: TokenBatch) throws {
    try text.next(batch)
    for place in 0..<batch.rows {
      let part = place * batch.time..<(place + 1) * batch.time
      masking.hide(
        row: row, count: batch.time, ids: batch.ids[part], targets: batch.targets[part], weights: batch.weights[part])
      row += 1
    }
  }
}
