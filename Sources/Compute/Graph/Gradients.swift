/// The gradient rules: one case per operation, appended to the graph in reverse order.
///
/// Baydin et al., "Automatic differentiation in machine learning: a survey", arXiv:1502.05767, section 3.2.
extension Graph {
  /// Appends the backward pass of everything recorded so far.
  ///
  /// A ``HeadLoss`` starts it by itself (it is what is minimised). Parameter gradients go to the flat gradient buffer;
  /// gradients of inputs that are activations are results.
  ///
  /// - Parameters:
  ///   - seeds: gradients known from outside, as (value, its gradient).
  ///   - keepsActivations: whether what norms, activations and convolutions gave stays for the gradients of products that
  ///     read it; otherwise their own gradients make it once more.
  /// - Returns: the gradient of each value that has one.
  @discardableResult
  package mutating func differentiate(
    seeds: [(value: Node, gradient: Node)] = [], keepsActivations: Bool = false
  ) throws(ComputeError) -> [Node: Node] {
    var pass = BackwardPass(graph: self, keepsActivations: keepsActivations)
    for seed in seeds { try pass.flow(seed.gradient, into: seed.value) }
    for index in operations.indices.reversed() { try pass.differentiate(index) }
    for (value, gradient) in pass.gradients where self[value].role == .input { pass.graph.keep(gradient) }
    self = pass.graph
    return pass.gradients
  }
}

private struct BackwardPass {
  var graph: Graph
  /// The gradient that has arrived so far at each value.
  var gradients: [Node: Node] = [:]
  /// Products whose weight's gradient waits for the value that they read, by that value: it isn't kept from the forward
  /// pass to here, the gradient of the operation that made it makes it once more.
  private var waiting: [Node: [(product: Linear, dy: Node)]] = [:]
  /// What such operations give: see `waiting`.
  private let remakable: Set<Node>
  /// Parameter gradients that an operation of this pass has written already.
  private var written: Set<Node> = []

  init(graph: Graph, keepsActivations: Bool) {
    self.graph = graph
    remakable =
      keepsActivations
      ? []
      : Set(
        graph.operations.compactMap { operation in
          switch operation {
          case .norm(let op): op.y
          case .activation(let op): op.y
          case .causalConvolution(let op): op.y
          default: nil
          }
        })
  }

  /// Adds to the gradient of a value.
  mutating func flow(_ gradient: Node, into value: Node) throws(ComputeError) {
    gradients[value] = if let known = gradients[value] { try graph.add(known, gradient) } else { gradient }
  }

  /// Room for the gradient of a value, to be written by an operation that itself adds what had arrived before.
  private mutating func fused(into value: Node) -> (addend: Node?, dx: Node) {
    let addend = gradients[value]
    return (addend, fresh(value))
  }

  /// Room for the only gradient of a value.
  private mutating func fresh(_ value: Node) -> Node {
    let dx = graph.intermediate("d." + graph[value].name, graph.shape(value), graph[value].dtype)
    gradients[value] = dx
    return dx
  }

  /// Where the gradient of a parameter goes; nil for a constant, or no parameter.
  private mutating func slot(_ parameter: Node?) -> GradientSlot? {
    guard let parameter, case .parameter(let index) = graph[parameter].role,
      graph.parameters.entries[index].isTrainable
    else { return nil }
    let node = graph.gradient(of: parameter)
    return GradientSlot(node: node, addsAlways: !written.insert(node).inserted)
  }

  mutating func differentiate(_ index: Int) throws(ComputeError) {
    switch graph.operations[index] {
    case .headLoss(var op):
      guard let dWeight = slot(op.weight) else { preconditionFailure("the head's weight is a constant") }
      let dBias = slot(op.bias)
      let (addend, dx) = fused(into: op.x)
      precondition(addend == nil, "the head's input has another use after it")
      op.gradients = HeadLoss.Gradients(dx: dx, dWeight: dWeight, dBias: dBias)
      graph.operations[index] = .headLoss(op)

    case .linear(let op):
      guard let dy = gradients[op.y] else { return }
      if remakable.contains(op.x) {
        waiting[op.x, default: []].append((op, dy))
      } else {
        addWeightGradient(op, x: op.x, dy: dy)
      }
      // Last, so that the gradient of what made x follows at once.
      let (addend, dx) = fused(into: op.x)
      graph.operations.append(
        .linearInputGradient(LinearInputGradient(dy: dy, weight: op.weight, addend: addend, dx: dx)))
      if let residual = op.residual { try flow(dy, into: residual) }

    case .norm(let op):
      guard let dy = gradients[op.y] else { return }
      let (addend, dx) = fused(into: op.x)
      let y = remade(op.y)
      graph.operations.append(
        .normGradient(
          NormGradient(
            kind: op.kind, epsilon: op.epsilon, x: op.x, weight: op.weight, bias: op.bias, mean: op.mean, rstd: op.rstd,
            dy: dy, addend: addend, dx: dx, dWeight: slot(op.weight), dBias: slot(op.bias), y: y)))
      addWaiting(for: op.y, y)

    case .headNorm(let op):
      guard let dy = gradients[op.y] else { return }
      let dx = sole(op.x)
      graph.operations.append(
        .headNormGradient(
          HeadNormGradient(
            layout: op.layout, epsilon: op.epsilon, x: op.x, queryWeight: op.queryWeight, keyWeight: op.keyWeight,
            rstd: op.rstd, dy: dy, dx: dx, dQueryWeight: slot(op.queryWeight), dKeyWeight: slot(op.keyWeight))))

    case .rotary(let op):
      guard let dy = gradients[op.y] else { return }
      let dx = sole(op.x)
      graph.operations.append(
        .rotary(
          Rotary(
            layout: op.layout, frequencies: op.frequencies, inverse: !op.inverse, maxPositions: op.maxPositions,
            x: dy, positions: op.positions, y: dx)))

    case .attention(let op):
      guard let dy = gradients[op.y] else { return }
      let dqkv = sole(op.qkv)
      graph.operations.append(.attentionGradient(AttentionGradient(forward: op, dy: dy, dqkv: dqkv)))

    case .activation(let op):
      guard let dy = gradients[op.y] else { return }
      let dx = sole(op.x)
      let y = remade(op.y)
      graph.operations.append(
        .activationGradient(ActivationGradient(kind: op.kind, gated: op.gated, x: op.x, dy: dy, dx: dx, y: y)))
      addWaiting(for: op.y, y)

    case .dropout(let op):
      guard let dy = gradients[op.y] else { return }
      let dx = graph.intermediate("d.dropout", graph.shape(op.x))
      graph.operations.append(.dropout(Dropout(rate: op.rate, site: op.site, x: dy, y: dx)))
      try flow(dx, into: op.x)

    case .add(let op):
      guard let dy = gradients[op.y] else { return }
      try flow(dy, into: op.a)
      try flow(dy, into: op.b)

    case .embedding(let op):
      guard let dy = gradients[op.y] else { return }
      if let dTable = slot(op.table) {
        graph.operations.append(
          .embeddingGradient(EmbeddingGradient(scale: op.scale, ids: op.ids, dy: dy, dTable: dTable)))
      }

    case .causalConvolution(let op):
      guard let dy = gradients[op.y] else { return }
      let dx = sole(op.x)
      let y = remade(op.y)
      graph.operations.append(
        .causalConvolutionGradient(
          CausalConvolutionGradient(
            x: op.x, weight: op.weight, positions: op.positions, dy: dy, dx: dx, dWeight: slot(op.weight), y: y)))
      addWaiting(for: op.y, y)

    case .meanPool(let op):
      guard let dy = gradients[op.y] else { return }
      let dx = graph.intermediate("d.meanPool", graph.shape(op.x))
      graph.operations.append(.meanPoolGradient(MeanPoolGradient(ranges: op.ranges, dy: dy, dx: dx)))
      try flow(dx, into: op.x)

    case .logits, .cachedAttention, .embeddingGradient, .normGradient, .headNormGradient, .linearInputGradient,
      .linearWeightGradient, .attentionGradient, .activationGradient, .causalConvolutionGradient, .meanPoolGradient:
      // Inference only, or a gradient itself: nothing flows back through it.
      return
    }
  }

  private mutating func addWeightGradient(_ op: Linear, x: Node, dy: Node) {
    guard let dWeight = slot(op.weight) else { return }
    graph.operations.append(
      .linearWeightGradient(LinearWeightGradient(x: x, dy: dy, dWeight: dWeight, dBias: slot(op.bias))))
  }

  /// Room for a value of the forward pass once more, if products wait for it.
  private mutating func remade(_ value: Node) -> Node? {
    waiting[value] == nil ? nil : graph.intermediate(graph[value].name, graph.shape(value), graph[value].dtype)
  }

  private mutating func addWaiting(for value: Node, _ remade: Node?) {
    guard let remade else { return }
    for (product, dy) in waiting[value] ?? [] { addWeightGradient(product, x: remade, dy: dy) }
  }

  /// Room for the gradient of a value that only one operation reads, as models use it.
  private mutating func sole(_ value: Node) -> Node {
    precondition(gradients[value] == nil, "\(graph[value].name) has a second reader: its operation can't add")
    return fresh(value)
  }
}
