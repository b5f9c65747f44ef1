package import Formats

/// Which tokens each row of a run reads: a function of the row's number alone, so that a run can start anywhere.
package protocol RowLayout: Sendable {
  /// How many rows one pass over the data has.
  var rowsPerEpoch: Int { get }
  /// Calls `body` with what the row of this number is made of, from left to right; rows count on over all passes.
  /// Allocates nothing.
  func forEachPiece(ofRow number: Int, _ body: (RowPiece) throws(FormatError) -> Void) throws(FormatError)
}

/// Tokens of one shard that stand side by side in a row, each with the one behind it as its target.
package struct RowPiece: Hashable, Sendable {
  package let shard: Int
  /// The position of its first token.
  package let start: Int
  /// Inputs; the target of the last one is the token behind them.
  package let count: Int
}
