package enum NormKind: Sendable {
  /// y = (x − mean) / √(variance + ε) · weight + bias. Ba et al., "Layer Normalization", arXiv:1607.06450.
  case layer
  /// y = x / √(mean(x²) + ε) · weight. Zhang & Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467.
  case rms
}

/// Normalization over the last axis.
package struct Norm: Operands {
  package let kind: NormKind
  package let epsilon: Float
  /// (…, C).
  package let x: Node
  /// (C).
  package let weight, bias: Node?
  /// (…, C).
  package let y: Node
  /// (…): for the gradient; `mean` only for layer norm.
  package let mean: Node?
  package let rstd: Node

  package var reads: [Node?] { [x, weight, bias] }
  package var writes: [Node?] { [y, mean, rstd] }
}

/// dx = addend + the gradient of ``Norm`` by x; gradients of weight and bias.
package struct NormGradient: Operands {
  package let kind: NormKind
  package let epsilon: Float
  package let x: Node
  package let weight, bias, mean: Node?
  package let rstd, dy: Node
  package let addend: Node?
  package let dx: Node
  package let dWeight, dBias: GradientSlot?
  /// What the norm gave, once more, if anybody asks for it.
  package let y: Node?

  package var reads: [Node?] { [x, weight, bias, mean, rstd, dy, addend] }
  package var writes: [Node?] { [dx, dWeight?.node, dBias?.node, y] }
  package var inPlace: [Node: [Node?]] { y.map { [dx: [addend], $0: [dy]] } ?? [dx: [addend]] }
}

extension Graph {
  /// Normalization over the last axis; the statistics are fp32.
  ///
  /// - Parameters:
  ///   - x: (…, C).
  ///   - weight: (C), or nil for none. `bias`: the same; only layer norm has one.
  /// - Returns: (…, C).
  /// - Throws: ``ComputeError/shape(op:expected:got:)`` unless `weight` and `bias` are (C).
  package mutating func norm(
    _ kind: NormKind, _ x: Node, weight: Node? = nil, bias: Node? = nil, epsilon: Float
  ) throws(ComputeError) -> Node {
    let shape = shape(x)
    for vector in [weight, bias].compactMap(\.self) where self.shape(vector) != [shape.width] {
      throw .shape(op: "norm", expected: "a weight (\(shape.width))", got: "\(self.shape(vector))")
    }
    if kind == .rms && bias != nil { throw .setting(op: "norm", problem: "an RMS norm has no bias") }
    let y = intermediate("norm", shape)
    let rows = Shape(Array(shape.dimensions.dropLast()))
    let mean = kind == .layer ? intermediate("norm.mean", rows, .float32) : nil
    let rstd = intermediate("norm.rstd", rows, .float32)
    operations.append(
      .norm(
        Norm(kind: kind, epsilon: epsilon, x: x, weight: weight, bias: bias, y: y, mean: mean, rstd: rstd)))
    return y
  }
}
