import Compute
import Corpus
package import Models

/// Rows of examples, in another order in each pass.
package final class ExampleSource: BatchSource {
  private let examples: any ExampleRows
  private let seed: UInt64
  private var row: Int

  /// - Parameter startRow: rows that the run has taken before.
  package init(_ examples: any ExampleRows, seed: UInt64, startRow: Int = 0) {
    precondition(examples.rowCount > 0 && startRow >= 0)
    self.examples = examples
    self.seed = seed
    row = startRow
  }

  package var mask: MaskKind { .ranges }
  package var perRow: Int? { examples.perRow }
  /// All is in memory.
  package var dataWaitSeconds: Double { 0 }

  package func next(_ batch: TokenBatch) {
    let count = examples.rowCount
    for place in 0..<batch.rows {
      let order = Permutation(count: count, seed: seed, epoch: row / count)
      examples.write(order[row % count], to: place, of: batch)
      row += 1
    }
  }
}
