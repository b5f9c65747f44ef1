/// RMS normalization of every query and key head of packed rows; values pass through.
///
/// Henry et al., "Query-Key Normalization for Transformers", arXiv:2010.04245, with RMS as Qwen3 and nanochat have it.
package struct HeadNorm: Operands {
  package let layout: HeadLayout
  package let epsilon: Float
  /// (…, (H + 2K)·D).
  package let x: Node
  /// (D).
  package let queryWeight, keyWeight: Node?
  /// Shape of x.
  package let y: Node
  /// (…, H + K).
  package let rstd: Node

  package var reads: [Node?] { [x, queryWeight, keyWeight] }
  package var writes: [Node?] { [y, rstd] }
  package var inPlace: [Node: [Node?]] { [y: [x]] }
}

package struct HeadNormGradient: Operands {
  package let layout: HeadLayout
  package let epsilon: Float
  package let x: Node
  package let queryWeight, keyWeight: Node?
  package let rstd, dy, dx: Node
  package let dQueryWeight, dKeyWeight: GradientSlot?

  package var reads: [Node?] { [x, queryWeight, keyWeight, rstd, dy] }
  package var writes: [Node?] { [dx, dQueryWeight?.node, dKeyWeight?.node] }
  package var inPlace: [Node: [Node?]] { [dx: [dy]] }
}

extension Graph {
  /// RMS-normalizes each query and key head: y = x / √(mean(x²) + ε) · weight over D elements.
  ///
  /// - Parameters:
  ///   - x: (…, (H + 2K)·D), packed as ``HeadLayout`` says.
  ///   - queryWeight: (D), or nil for none; `keyWeight` likewise. Both or neither.
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func headNorm(
    _ x: Node, layout: HeadLayout, queryWeight: Node? = nil, keyWeight: Node? = nil, epsilon: Float
  ) throws(ComputeError) -> Node {
    try layout.check(shape(x), op: "headNorm")
    for weight in [queryWeight, keyWeight].compactMap(\.self) where shape(weight) != [layout.headSize] {
      throw .shape(op: "headNorm", expected: "a weight (\(layout.headSize))", got: "\(shape(weight))")
    }
    guard (queryWeight == nil) == (keyWeight == nil) else {
      throw .setting(op: "headNorm", problem: "queries and keys both have a weight, or neither")
    }
    let y = intermediate("headNorm", shape(x))
    let rstd = intermediate(
      "headNorm.rstd", shape(x).withWidth(layout.queryHeads + layout.keyValueHeads), .float32)
    operations.append(
      .headNorm(
        HeadNorm(
          layout: layout, epsilon: epsilon, x: x, queryWeight: queryWeight, keyWeight: keyWeight, y: y, rstd: rstd)))
    return y
  }
}
