/// y_t = x_t + Σ_j w_j ∘ x_{t−j}, j in 1...k: each channel also sees itself in the k tokens before. Before a text's first
/// token there is none.
///
/// So et al., "Primer", arXiv:2109.08668, section 4.2, for depthwise convolutions of width 3 in Transformers; here around
/// what feeds the feed-forward layer, and beside a residual: without weights it is no operation.
package struct CausalConvolution: Operands {
  /// (B, T, C).
  package let x: Node
  /// (k, C).
  package let weight: Node
  /// (B, T) of int32: where in its text a token stands.
  package let positions: Node
  /// (B, capacity, C): x of all positions, of which earlier passes left those before this pass' T, and this one leaves its
  /// own; nil: texts begin and end within rows.
  package let cache: Node?
  /// (B, T, C).
  package let y: Node

  package var reads: [Node?] { [x, weight, positions, cache] }
  package var writes: [Node?] { [y, cache] }
}

/// dx_t = dy_t + Σ_j w_j ∘ dy_{t+j}, dw_j = Σ_t dy_t ∘ x_{t−j}; and y once more.
package struct CausalConvolutionGradient: Operands {
  package let x, weight, positions, dy, dx: Node
  package let dWeight: GradientSlot?
  package let y: Node?

  package var reads: [Node?] { [x, weight, positions, dy] }
  package var writes: [Node?] { [dx, dWeight?.node, y] }
}

extension Graph {
  /// Mixes each channel of a token with itself in the tokens before.
  ///
  /// - Parameters:
  ///   - x: (B, T, C).
  ///   - weight: (k, C): the first row is for the token just before.
  ///   - positions: (B, T) of int32, consecutive within a text.
  ///   - cache: (B, capacity, C), a state; nil when whole texts are at hand.
  /// - Returns: (B, T, C).
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func causalConvolution(
    _ x: Node, weight: Node, positions: Node, cache: Node? = nil
  ) throws(ComputeError) -> Node {
    let (rows, taps) = (shape(x), shape(weight))
    guard rows.rank == 3, taps.rank == 2, taps[1] == rows[2], shape(positions) == [rows[0], rows[1]] else {
      throw .shape(
        op: "causalConvolution", expected: "x (B, T, C), a weight (k, C) and positions (B, T)",
        got: "\(rows), \(taps) and \(shape(positions))")
    }
    if let cache {
      let state = shape(cache)
      guard state.rank == 3, state[0] == rows[0], state[2] == rows[2] else {
        throw .shape(op: "causalConvolution", expected: "a cache (\(rows[0]), capacity, \(rows[2]))", got: "\(state)")
      }
    }
    let y = intermediate("causalConvolution", rows)
    operations.append(
      .causalConvolution(CausalConvolution(x: x, weight: weight, positions: positions, cache: cache, y: y)))
    return y
  }
}
