/// y = residual + x·Wᵀ + bias.
package struct Linear: Operands {
  /// (…, K).
  package let x: Node
  /// (N, K), as Hugging Face and PyTorch store it: (out, in).
  package let weight: Node
  /// (N).
  package let bias: Node?
  /// (…, N).
  package let residual: Node?
  /// (…, N).
  package let y: Node

  package var reads: [Node?] { [x, weight, bias, residual] }
  package var writes: [Node?] { [y] }
  package var inPlace: [Node: [Node?]] { [y: [residual]] }
}

/// dx = addend + dy·W.
package struct LinearInputGradient: Operands {
  package let dy, weight: Node
  package let addend: Node?
  package let dx: Node

  package var reads: [Node?] { [dy, weight, addend] }
  package var writes: [Node?] { [dx] }
  package var inPlace: [Node: [Node?]] { [dx: [addend]] }
}

/// dW += dyᵀ·x, dBias += Σ dy.
package struct LinearWeightGradient: Operands {
  package let x, dy: Node
  package let dWeight: GradientSlot
  package let dBias: GradientSlot?

  package var reads: [Node?] { [x, dy] }
  package var writes: [Node?] { [dWeight.node, dBias?.node] }
}

extension Graph {
  /// y = residual + x·Wᵀ + bias.
  ///
  /// - Parameters:
  ///   - x: (…, K).
  ///   - weight: (N, K).
  ///   - bias: (N), or nil.
  ///   - residual: (…, N), or nil.
  /// - Returns: (…, N).
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func linear(
    _ x: Node, weight: Node, bias: Node? = nil, residual: Node? = nil
  ) throws(ComputeError) -> Node {
    let w = shape(weight)
    guard w.rank == 2, w[1] == shape(x).width else {
      throw .shape(op: "linear", expected: "a weight (N, \(shape(x).width))", got: "\(w)")
    }
    if let bias, shape(bias) != [w[0]] {
      throw .shape(op: "linear", expected: "a bias (\(w[0]))", got: "\(shape(bias))")
    }
    let result = shape(x).withWidth(w[0])
    if let residual, shape(residual) != result {
      throw .shape(op: "linear", expected: "a residual \(result)", got: "\(shape(residual))")
    }
    let y = intermediate("linear", result)
    operations.append(.linear(Linear(x: x, weight: weight, bias: bias, residual: residual, y: y)))
    return y
  }
}
