/// logits = softcap(x·Wᵀ + bias), for scoring and sampling.
package struct Logits: Operands {
  /// c > 0: logits are c·tanh(z/c). Gemma 2, arXiv:2408.00118, section 2. Nil: none.
  package let softcap: Float?
  /// (…, C).
  package let x: Node
  /// (V, C).
  package let weight: Node
  /// (V).
  package let bias: Node?
  /// (…, V).
  package let logits: Node

  package var reads: [Node?] { [x, weight, bias] }
  package var writes: [Node?] { [logits] }
}

/// The head and its loss as one operation: projection, softcap, cross-entropy, and the gradients of its inputs, tiled so
/// that the logits of all rows are never held.
///
/// lossᵢ = sᵢ − (1 − ε)·zᵢ[targetᵢ] − ε·mean(zᵢ) + ζ·sᵢ² with sᵢ = logsumexp(zᵢ), see ``Terms``; what is minimised is
/// Σ weightᵢ·lossᵢ / normalizer. The normalizer is the sum of weights of the whole update, an input, so that accumulated
/// micro-steps equal one large batch.
package struct HeadLoss: Operands {
  /// What a loss has beside the cross-entropy.
  package struct Terms: Sendable, Equatable {
    /// ε: the share of the target's probability that goes to all V alike. Szegedy et al., "Rethinking the Inception
    /// Architecture", arXiv:1512.00567, section 7.
    package var labelSmoothing: Float = 0
    /// ζ: how much logits are kept from drifting. Chowdhery et al., "PaLM", arXiv:2204.02311, section 5.
    package var zLoss: Float = 0

    package init(labelSmoothing: Float = 0, zLoss: Float = 0) {
      (self.labelSmoothing, self.zLoss) = (labelSmoothing, zLoss)
    }
  }

  /// What the backward pass gets from the same pass over the logits.
  package struct Gradients: Sendable {
    package let dx: Node
    package let dWeight: GradientSlot
    package let dBias: GradientSlot?
  }

  package let softcap: Float?
  package let terms: Terms
  /// (…, C).
  package let x: Node
  /// (V, C).
  package let weight: Node
  /// (V).
  package let bias: Node?
  /// (…) of int32. Where the weight is 0, any value.
  package let targets: Node
  /// (…).
  package let weights: Node
  /// ().
  package let normalizer: Node
  /// (…): nats, unweighted; 0 where the weight is 0.
  package let losses: Node
  /// (…): 1 where the largest logit is the target's, else 0.
  package let correct: Node
  /// Nil until differentiated.
  package var gradients: Gradients?

  package var reads: [Node?] { [x, weight, bias, targets, weights, normalizer] }
  package var writes: [Node?] {
    [losses, correct, gradients?.dx, gradients?.dWeight.node, gradients?.dBias?.node]
  }
}

extension Graph {
  /// The logits of every row.
  ///
  /// - Parameters:
  ///   - x: (…, C).
  ///   - weight: (V, C).
  /// - Returns: (…, V).
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func logits(
    _ x: Node, weight: Node, bias: Node? = nil, softcap: Float? = nil
  ) throws(ComputeError) -> Node {
    try checkHead("logits", x, weight, bias)
    let logits = intermediate("logits", shape(x).withWidth(shape(weight)[0]), .float32)
    operations.append(.logits(Logits(softcap: softcap, x: x, weight: weight, bias: bias, logits: logits)))
    return logits
  }

  /// Loss and accuracy of next-token (or masked-token) prediction; both results are kept for the host.
  ///
  /// - Parameters:
  ///   - x: (…, C).
  ///   - weight: (V, C).
  ///   - targets: (…) of int32, in 0..<V where the weight isn't 0.
  ///   - weights: (…).
  ///   - normalizer: ().
  /// - Returns: losses (…) in nats and correct (…), 1 or 0.
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func headLoss(
    _ x: Node, weight: Node, bias: Node? = nil, softcap: Float? = nil, terms: HeadLoss.Terms = HeadLoss.Terms(),
    targets: Node, weights: Node, normalizer: Node
  ) throws(ComputeError) -> (losses: Node, correct: Node) {
    try checkHead("headLoss", x, weight, bias)
    let rows = Shape(Array(shape(x).dimensions.dropLast()))
    for node in [targets, weights] where shape(node) != rows {
      throw .shape(op: "headLoss", expected: "targets and weights \(rows)", got: "\(shape(node))")
    }
    let losses = intermediate("losses", rows, .float32)
    let correct = intermediate("correct", rows, .float32)
    keep(losses)
    keep(correct)
    operations.append(
      .headLoss(
        HeadLoss(
          softcap: softcap, terms: terms, x: x, weight: weight, bias: bias, targets: targets, weights: weights,
          normalizer: normalizer, losses: losses, correct: correct)))
    return (losses, correct)
  }

  private func checkHead(_ op: String, _ x: Node, _ weight: Node, _ bias: Node?) throws(ComputeError) {
    let w = shape(weight)
    guard w.rank == 2, w[1] == shape(x).width else {
      throw .shape(op: op, expected: "a weight (V, \(shape(x).width))", got: "\(w)")
    }
    if let bias, shape(bias) != [w[0]] {
      throw .shape(op: op, expected: "a bias (\(w[0]))", got: "\(shape(bias))")
    }
  }
}
