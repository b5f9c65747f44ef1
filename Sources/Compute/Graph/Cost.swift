extension Operation {
  /// Floating-point operations of matrix products, a multiply-add counted as two; the rest is bound by memory traffic
  /// and counts nothing.
  package func flops(in graph: Graph) -> Double {
    func product(_ x: Node, _ weight: Node) -> Double {
      2 * Double(graph.shape(x).rows) * Double(graph.shape(weight).count)
    }
    switch self {
    case .linear(let op): return product(op.x, op.weight)
    case .linearInputGradient(let op): return product(op.dy, op.weight)
    case .linearWeightGradient(let op): return product(op.x, op.dWeight.node)
    case .logits(let op): return product(op.x, op.weight)
    case .headLoss(let op): return product(op.x, op.weight) * (op.gradients == nil ? 1 : 3)
    case .attention(let op): return 2 * op.scoreFlops(in: graph)
    case .attentionGradient(let op): return 5 * op.forward.scoreFlops(in: graph)
    case .cachedAttention(let op):
      // The whole cache: an upper bound.
      return 4 * Double(graph.shape(op.y).count) * Double(graph.shape(op.keys)[1])
    case .embedding, .embeddingGradient, .norm, .normGradient, .headNorm, .headNormGradient, .rotary, .activation,
      .activationGradient, .dropout, .add, .causalConvolution, .causalConvolutionGradient, .meanPool, .meanPoolGradient:
      return 0
    }
  }
}

extension Attention {
  /// Of the product q·kᵀ, half of it when causal.
  fileprivate func scoreFlops(in graph: Graph) -> Double {
    let time = Double(graph.shape(y)[1])
    let keys = mask == .causal ? (time + 1) / 2 : time
    return 2 * Double(graph.shape(y).count) * keys
  }
}
