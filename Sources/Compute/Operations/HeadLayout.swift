/// How queries, keys and values lie in one packed row: H query heads, then K key heads, then K value heads, each of D
/// elements. Query head h reads key/value head h / (H/K). Ainslie et al., "GQA", arXiv:2305.13245.
package struct HeadLayout: Hashable, Sendable {
  /// H.
  package let queryHeads: Int
  /// K.
  package let keyValueHeads: Int
  /// D.
  package let headSize: Int

  /// - Throws: ``ComputeError/setting(op:problem:)`` unless K divides H and all are at least 1.
  package init(queryHeads: Int, keyValueHeads: Int, headSize: Int) throws(ComputeError) {
    guard queryHeads > 0, keyValueHeads > 0, headSize > 0, queryHeads.isMultiple(of: keyValueHeads) else {
      throw .setting(
        op: "attention",
        problem: "\(queryHeads) query heads can't share \(keyValueHeads) key/value heads of size \(headSize)")
    }
    self.queryHeads = queryHeads
    self.keyValueHeads = keyValueHeads
    self.headSize = headSize
  }

  /// (H + 2K)·D: the width of a packed row.
  package var packedWidth: Int { (queryHeads + 2 * keyValueHeads) * headSize }
  /// H·D: the width of attention's result.
  package var queryWidth: Int { queryHeads * headSize }
  /// K·D.
  package var keyValueWidth: Int { keyValueHeads * headSize }

  func check(_ shape: Shape, op: String) throws(ComputeError) {
    guard shape.width == packedWidth else {
      throw .shape(op: op, expected: "rows of \(packedWidth)", got: "\(shape)")
    }
  }
}
