/// y[n] = scale·table[ids[n]].
package struct Embedding: Operands {
  package let scale: Float
  /// (…) of int32, each in 0..<V.
  package let ids: Node
  /// (V, C).
  package let table: Node
  /// (…, C).
  package let y: Node

  package var reads: [Node?] { [ids, table] }
  package var writes: [Node?] { [y] }
}

/// dTable[ids[n]] += scale·dy[n], rows in ascending n.
package struct EmbeddingGradient: Operands {
  package let scale: Float
  package let ids, dy: Node
  package let dTable: GradientSlot

  package var reads: [Node?] { [ids, dy] }
  package var writes: [Node?] { [dTable.node] }
}

extension Graph {
  /// Rows of a table: y[n] = scale·table[ids[n]].
  ///
  /// - Parameters:
  ///   - ids: int32, any shape; the host has checked that each is in 0..<V.
  ///   - table: (V, C).
  /// - Returns: (…, C).
  /// - Throws: ``ComputeError/shape(op:expected:got:)`` unless the table is a matrix.
  package mutating func embedding(_ ids: Node, table: Node, scale: Float = 1) throws(ComputeError) -> Node {
    guard shape(table).rank == 2 else {
      throw .shape(op: "embedding", expected: "a table (V, C)", got: "\(shape(table))")
    }
    let y = intermediate("embedding", Shape(shape(ids).dimensions + [shape(table).width]))
    operations.append(.embedding(Embedding(scale: scale, ids: ids, table: table, y: y)))
    return y
  }
}
