package import Models

/// Examples laid out in rows of T tokens, whatever is learned from them.
package protocol ExampleRows: Sendable {
  /// T.
  var context: Int { get }
  var rowCount: Int { get }
  /// S: examples of a row that have one target each; nil: tokens are the targets.
  var perRow: Int? { get }
  /// Targets of one pass.
  var targetCount: Int { get }
  /// Tokens that are read in one pass.
  var tokens: Int { get }
  /// Writes row `row` into row `place` of a batch; nil: an empty one.
  func write(_ row: Int?, to place: Int, of batch: TokenBatch)
}

extension ExampleRows {
  package var perRow: Int? { nil }
}
