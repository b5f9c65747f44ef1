import Compute
package import Models
package import Tokenization

/// Rows of text whose words are cut into other tokens each time (``BPEDropout``).
package final class DropoutSource: BatchSource {
  private let text: any BatchSource
  private let dropout: BPEDropout
  private let seed: UInt64
  private var place: DataPlace
  /// A row and the token after it, before and after.
  private var before: [Int32] = []
  private var tokens: [Int32] = []

  /// - Parameters:
  ///   - text: gives rows with the token after each as its target.
  ///   - place: where `text` begins.
  /// - Throws: ``TokenizationError`` for a tokenizer that isn't byte-level.
  package init(
    _ text: any BatchSource, _ tokenizer: Tokenizer, rate: Double, seed: UInt64, place: DataPlace = DataPlace()
  ) throws(TokenizationError) {
    self.text = text
    self.seed = seed
    self.place = place
    dropout = try BPEDropout(tokenizer, rate: rate)
  }

  package var mask: MaskKind { text.mask }
  package var dataWaitSeconds: Double { text.dataWaitSeconds }

  package func move(to place: DataPlace) throws {
    try text.move(to: place)
    self.place = place
  }

  package func next(_ batch: TokenBatch) throws {
    try text.next(batch)
    for row in 0..<batch.rows {
      let part = row * batch.time..<(row + 1) * batch.time
      // A function of the row's number, so that a run can go on anywhere.
      var chance = PhiloxGenerator(
        seed: place.seed(seed), stream: UInt32(truncatingIfNeeded: place.row),
        step: UInt32(truncatingIfNeeded: place.row >> 32))
      place.row += 1
      before.removeAll(keepingCapacity: true)
      before.append(contentsOf: batch.ids[part])
      before.append(batch.targets[part.upperBound - 1])
      dropout.encode(before, into: &tokens, using: &chance)
      // There are more tokens now, and the row ends sooner. A row that begins inside of a word may come out shorter by
      // chance: then it stays as it was.
      guard tokens.count > batch.time else { continue }
      for (offset, index) in part.enumerated() {
        batch.ids[index] = tokens[offset]
        batch.targets[index] = tokens[offset + 1]
      }
    }
  }
}
