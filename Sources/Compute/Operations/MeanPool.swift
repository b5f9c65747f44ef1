/// y[b, s] = the mean of x[b, t] over t in ranges[b, s, 0]..<ranges[b, s, 1]: sequences of any length, padded or packed
/// into rows, become vectors. An empty range gives zeros; a range of one token takes that token's state.
///
/// Reimers & Gurevych, "Sentence-BERT", arXiv:1908.10084, section 3.
package struct MeanPool: Operands {
  /// (B, T, C).
  package let x: Node
  /// (B, S, 2) of int32, clipped to 0..<T.
  package let ranges: Node
  /// (B, S, C).
  package let y: Node

  package var reads: [Node?] { [x, ranges] }
  package var writes: [Node?] { [y] }
}

/// dx[b, t] = Σ dy[b, s] / (tokens of range s), over the ranges s of row b that hold t.
package struct MeanPoolGradient: Operands {
  package let ranges, dy, dx: Node

  package var reads: [Node?] { [ranges, dy] }
  package var writes: [Node?] { [dx] }
}

extension Graph {
  /// Means over ranges of each row's tokens.
  ///
  /// - Parameters:
  ///   - x: (B, T, C).
  ///   - ranges: (B, S, 2) of int32.
  /// - Returns: (B, S, C).
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func meanPool(_ x: Node, ranges: Node) throws(ComputeError) -> Node {
    let (rows, pools) = (shape(x), shape(ranges))
    guard rows.rank == 3, pools.rank == 3, pools[0] == rows[0], pools[2] == 2 else {
      throw .shape(op: "meanPool", expected: "x (B, T, C) and ranges (B, S, 2)", got: "\(rows) and \(pools)")
    }
    let y = intermediate("meanPool", [rows[0], pools[1], rows[2]])
    operations.append(.meanPool(MeanPool(x: x, ranges: ranges, y: y)))
    return y
  }
}
