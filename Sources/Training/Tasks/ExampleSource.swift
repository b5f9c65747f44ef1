import Compute
import Corpus
package import Models

/// Rows of examples, in another order in each pass.
package final class ExampleSource: BatchSource {
  private let examples: any ExampleRows
  private let seed: UInt64
  private var row: Int
  private var order: UInt64

  /// - Parameter place: where the run is.
  package init(_ examples: any ExampleRows, seed: UInt64, place: DataPlace = DataPlace()) {
    precondition(examples.rowCount > 0 && place.row >= 0)
    self.examples = examples
    self.seed = seed
    (row, order) = (place.row, place.seed(seed))
  }

  package func move(to place: DataPlace) { (row, order) = (place.row, place.seed(seed)) }

  package var mask: MaskKind { .ranges }
  package var perRow: Int? { examples.perRow }
  /// All is in memory.
  package var dataWaitSeconds: Double { 0 }

  package func next(_ batch: TokenBatch) {
    let count = examples.rowCount
    for place in 0..<batch.rows {
      let permutation = Permutation(count: count, seed: order, epoch: row / count)
      examples.write(permutation[row % count], to: place, of: batch)
      row += 1
    }
  }
}
