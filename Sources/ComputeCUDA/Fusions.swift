import Compute

/// Pairs of operations, one right after the other, that cuBLASLt does in one product: its epilogues.
///
/// GELU by tanh alone: that is the one they have with what a gradient needs.
struct Fusions {
  enum Pair {
    /// y = GELU(z), z = x·Wᵀ + bias.
    case activation(Linear, Activation)
    /// dz = GELU'(z) · (dy·W).
    case gradient(LinearInputGradient, ActivationGradient)
  }

  /// By the place of the first operation.
  let pairs: [Int: Pair]

  init(of graph: Graph) {
    var readers: [Node: Int] = [:]
    for operation in graph.operations {
      for node in operation.operands.reads.compactMap(\.self) { readers[node, default: 0] += 1 }
    }
    // The leading dimension of what goes into GELU.
    func isWide(_ node: Node) -> Bool { graph.shape(node).width.isMultiple(of: 8) }
    var pairs: [Int: Pair] = [:]
    for (index, (first, second)) in zip(graph.operations, graph.operations.dropFirst()).enumerated() {
      switch (first, second) {
      case (.linear(let linear), .activation(let activation))
      where activation.x == linear.y && activation.isGELU && linear.bias != nil && linear.residual == nil
        // What else reads it is its gradient: without one, an epilogue has nothing to keep it for.
        && (readers[linear.y] ?? 0) > 1 && isWide(linear.y):
        pairs[index] = .activation(linear, activation)
      case (.linearInputGradient(let product), .activationGradient(let gradient))
      where gradient.dy == product.dx && gradient.isGELU && product.addend == nil
        && readers[product.dx] == 1 && graph[product.dx].role == .intermediate && isWide(product.dx):
        pairs[index] = .gradient(product, gradient)
      default: break
      }
    }
    self.pairs = pairs
  }
}

extension Activation {
  fileprivate var isGELU: Bool { kind == .geluTanh && !gated }
}

extension ActivationGradient {
  fileprivate var isGELU: Bool { kind == .geluTanh && !gated }
}
