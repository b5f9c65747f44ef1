package enum ActivationKind: String, Sendable, CaseIterable {
  /// max(x, 0).
  case relu
  /// max(x, 0)². So et al., "Primer", arXiv:2109.08668.
  case reluSquared
  /// x·σ(x). Ramachandran et al., arXiv:1710.05941.
  case silu
  /// x·Φ(x), with the error function. Hendrycks & Gimpel, "GELU", arXiv:1606.08415.
  case gelu
  /// GELU by tanh, as GPT-2 has it: ½x(1 + tanh(√(2/π)(x + 0.044715x³))).
  case geluTanh
}

/// y = f(x); gated: x = gate ‖ up, y = f(gate)·up.
package struct Activation: Operands {
  package let kind: ActivationKind
  package let gated: Bool
  /// (…, F); gated: (…, 2F).
  package let x: Node
  /// (…, F).
  package let y: Node

  package var reads: [Node?] { [x] }
  package var writes: [Node?] { [y] }
  package var inPlace: [Node: [Node?]] { gated ? [:] : [y: [x]] }
}

package struct ActivationGradient: Operands {
  package let kind: ActivationKind
  package let gated: Bool
  package let x, dy, dx: Node
  /// What the activation gave, once more, if anybody asks for it.
  package let y: Node?

  package var reads: [Node?] { [x, dy] }
  package var writes: [Node?] { [dx, y] }
  package var inPlace: [Node: [Node?]] {
    guard !gated else { return y.map { [$0: [dy]] } ?? [:] }
    return y.map { [dx: [dy], $0: [x]] } ?? [dx: [dy]]
  }
}

extension Graph {
  /// y = f(x), element by element.
  package mutating func activation(_ kind: ActivationKind, _ x: Node) -> Node {
    let y = intermediate("activation", shape(x))
    operations.append(.activation(Activation(kind: kind, gated: false, x: x, y: y)))
    return y
  }

  /// y = f(gate)·up. Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202.
  ///
  /// - Parameter x: (…, 2F): the gate's F columns, then up's.
  /// - Returns: (…, F).
  /// - Throws: ``ComputeError/shape(op:expected:got:)`` for an odd width.
  package mutating func gatedActivation(_ kind: ActivationKind, _ x: Node) throws(ComputeError) -> Node {
    guard shape(x).width.isMultiple(of: 2) else {
      throw .shape(op: "gatedActivation", expected: "an even width (gate, up)", got: "\(shape(x))")
    }
    let y = intermediate("gatedActivation", shape(x).withWidth(shape(x).width / 2))
    operations.append(.activation(Activation(kind: kind, gated: true, x: x, y: y)))
    return y
  }
}
