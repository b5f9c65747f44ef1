import Compute

/// Linear layers and the head: matrix products, and what stands around them.
///
/// A row-major (rows, width) value is a column-major matrix of `width` rows: so a weight (N, K) is K × N, and y = x·Wᵀ is
/// computed as yᵀ = W·xᵀ.
extension Lowering {
  func lower(_ op: Linear) throws(ComputeError) -> [Command] {
    [
      try outputProduct(
        x: at.activation(op.x), weight: op.weight, rows: rows(op.x), y: at.activation(op.y), leading: width(op.y),
        result: graph.precision, residual: at.activation(op.residual), epilogue: bias(op.bias))
    ]
  }

  func lower(_ op: LinearInputGradient) throws(ComputeError) -> [Command] {
    [
      try inputProduct(
        dy: at.activation(op.dy), leading: width(op.dy), weight: op.weight, rows: rows(op.dy), dx: at.activation(op.dx),
        addend: at.activation(op.addend))
    ]
  }

  /// What cuBLASLt does in one product.
  func lower(_ pair: Fusions.Pair) throws(ComputeError) -> [Command] {
    scratch.begin()
    switch pair {
    case .activation(let op, let activation):
      guard let bias = at.operand(op.bias) else { preconditionFailure("a fused product without a bias") }
      return [
        try outputProduct(
          x: at.activation(op.x), weight: op.weight, rows: rows(op.x), y: at.activation(activation.y),
          leading: width(op.y), result: graph.precision, residual: nil,
          epilogue: .gelu(bias: bias, input: at.activation(op.y)))
      ]
    case .gradient(let op, let gradient):
      let product = try inputProduct(
        dy: at.activation(op.dy), leading: width(op.dy), weight: op.weight, rows: rows(op.dy),
        dx: at.activation(gradient.dx), addend: nil, epilogue: .geluGradient(input: at.activation(gradient.x)))
      guard let y = gradient.y else { return [product] }
      // In its input's place, perhaps, which has been read by then.
      return [product, try activation(gradient.kind, gated: gradient.gated, x: gradient.x, y: y)]
    }
  }

  func lower(_ op: LinearWeightGradient) throws(ComputeError) -> [Command] {
    var commands = [
      try weightProduct(
        x: at.activation(op.x), width: width(op.x), dy: at.activation(op.dy), leading: width(op.dy), rows: rows(op.x),
        to: op.dWeight.node, adds: adds(op.dWeight))
    ]
    if let slot = op.dBias {
      commands += try columnSums(
        at.activation(op.dy), rows: rows(op.dy), leading: width(op.dy), to: slot.node, adds: adds(slot))
    }
    return commands
  }

  func lower(_ op: Logits) throws(ComputeError) -> [Command] {
    try logits(
      at.activation(op.x), rows: rows(op.x), weight: op.weight, bias: op.bias, to: at.floats(op.logits),
      leading: width(op.logits), result: .fp32)
      + (op.softcap.map { (cap) throws(ComputeError) in
        let count = shape(op.logits).count
        return [
          try kernel(
            .elementwise, "mf_softcap", storage: .fp32, grid: flat(count), count, cap, at.floats(op.logits))
        ]
      } ?? [])
  }

  /// Chunks of rows, so that not all logits are held; their gradients take their place. Logits are fp32, but for training
  /// that has more of them than are held at once: there they are a good part of all traffic, and of the program's precision.
  func lower(_ op: HeadLoss) throws(ComputeError) -> [Command] {
    let (N, C, V) = (rows(op.x), width(op.x), rows(op.weight))
    let isTraffic = op.gradients != nil && 4 * N * V > Self.headBytes
    let result = isTraffic ? graph.precision : .fp32
    let (size, gradientSize) = (result.dtype.size, graph.precision.dtype.size)
    let leading = aligned(V, to: TensorLayout.rowAlignment)
    // Rows of gradients begin where their logits did.
    let gradientLeading = leading * size / gradientSize
    // Each chunk adds to the weight's gradient, which costs a pass over that: the more memory there is, the fewer chunks.
    let most = max(256, max(Self.headBytes, device.memoryBytes / 64) / (leading * size) / 256 * 256)
    let chunk = min(N, aligned(tiles(N, tiles(N, most)), to: 256))
    let z = scratch.take(bytes: chunk * leading * size)
    var commands: [Command] = []
    for first in stride(from: 0, to: N, by: chunk) {
      let count = min(chunk, N - first)
      let x = at.activation(op.x) + first * C * gradientSize
      commands += try logits(x, rows: count, weight: op.weight, bias: op.bias, to: z, leading: leading, result: result)
      commands.append(
        try kernel(
          .headLoss, result == .fp32 ? "mf_head_loss_fp32" : "mf_head_loss", grid: (count, 1, 1), threads: 512, V,
          leading, op.softcap ?? 0, op.terms.labelSmoothing, op.terms.zLoss, z, at.integers(op.targets) + 4 * first,
          at.floats(op.weights) + 4 * first, at.floats(op.normalizer), at.run, at.floats(op.losses) + 4 * first,
          at.floats(op.correct) + 4 * first, op.gradients != nil))
      guard let gradients = op.gradients else { continue }
      commands += [
        try inputProduct(
          dy: z, leading: gradientLeading, weight: op.weight, rows: count,
          dx: at.activation(gradients.dx) + first * C * gradientSize, addend: nil),
        try weightProduct(
          x: x, width: C, dy: z, leading: gradientLeading, rows: count, to: gradients.dWeight.node,
          adds: adds(gradients.dWeight) || first > 0),
      ]
      if let slot = gradients.dBias {
        commands += try columnSums(
          z, rows: count, leading: gradientLeading, to: slot.node, adds: adds(slot) || first > 0)
      }
    }
    if op.gradients != nil, let state = at.state {
      commands.append(
        try kernel(
          .sums, "mf_loss_total", grid: (1, 1, 1), threads: 1024, N, at.floats(op.losses), at.floats(op.correct),
          at.floats(op.weights), at.floats(op.normalizer), state, accumulates))
    }
    return commands
  }

  /// Bytes of logits that are held at once: enough rows for products at full speed, of any vocabulary.
  private static var headBytes: Int { 512 << 20 }

  // MARK: Parts

  /// Products have biases of the precision of their operands; where the result is wider a bias is added by itself.
  private func logits(
    _ x: Address, rows: Int, weight: Node, bias: Node?, to y: Address, leading: Int, result: Precision
  ) throws(ComputeError) -> [Command] {
    let isFused = result == graph.precision
    let product = try outputProduct(
      x: x, weight: weight, rows: rows, y: y, leading: leading, result: result, residual: nil,
      epilogue: isFused ? self.bias(bias) : .none)
    guard let bias, !isFused else { return [product] }
    let V = self.rows(weight)
    return [
      product,
      try kernel(
        .elementwise, "mf_add_bias", storage: result, grid: (rows, tiles(V, 2048), 1), V, leading, at.floats(bias), y),
    ]
  }

  private func bias(_ node: Node?) -> MatrixProduct.Epilogue {
    at.operand(node).map { .bias($0) } ?? .none
  }

  /// The rows of a weight, with its padding where what has a column for each has room for that, too.
  private func outputs(of weight: Node, leading: Int) -> Int {
    min(leading, aligned(self.rows(weight), to: TensorLayout.rowAlignment))
  }

  /// y = residual + x·Wᵀ, and what its epilogue adds.
  private func outputProduct(
    x: Address, weight: Node, rows: Int, y: Address, leading: Int, result: Precision, residual: Address?,
    epilogue: MatrixProduct.Epilogue
  ) throws(ComputeError) -> Command {
    let (N, K) = (outputs(of: weight, leading: leading), width(weight))
    return .product(
      try products.call(
        MatrixProduct(
          m: N, n: rows, k: K, transposesA: true, a: at.operand(weight), b: x, d: y, leadingA: K, leadingB: K,
          leadingD: leading, operands: graph.precision, result: result, c: residual, epilogue: epilogue),
        isTimed: isTraining))
  }

  /// dx = addend + dy·W, of contiguous rows.
  private func inputProduct(
    dy: Address, leading: Int, weight: Node, rows: Int, dx: Address, addend: Address?,
    epilogue: MatrixProduct.Epilogue = .none
  ) throws(ComputeError) -> Command {
    let (N, K) = (outputs(of: weight, leading: leading), width(weight))
    return .product(
      try products.call(
        MatrixProduct(
          m: K, n: rows, k: N, a: at.operand(weight), b: dy, d: dx, leadingA: K, leadingB: leading, leadingD: K,
          operands: graph.precision, result: graph.precision, c: addend, epilogue: epilogue),
        isTimed: isTraining))
  }

  /// dW (+)= dyᵀ·x, in fp32.
  private func weightProduct(
    x: Address, width K: Int, dy: Address, leading: Int, rows: Int, to weight: Node, adds: Bool
  ) throws(ComputeError) -> Command {
    let gradient = at.floats(weight)
    return .product(
      try products.call(
        MatrixProduct(
          m: K, n: outputs(of: weight, leading: leading), k: rows, transposesB: true, a: x, b: dy, d: gradient,
          leadingA: K,
          leadingB: leading, leadingD: K, operands: graph.precision, result: .fp32, c: adds ? gradient : nil),
        isTimed: isTraining))
  }

  /// db (+)= Σ over rows of dy.
  private func columnSums(
    _ dy: Address, rows: Int, leading: Int, to bias: Node, adds: Bool
  ) throws(ComputeError) -> [Command] {
    let (width, blocks) = (shape(bias).count, tiles(rows, 256))
    let partials = scratch.take(bytes: 4 * blocks * width)
    return [
      try kernel(
        .sums, "mf_column_sums", grid: (tiles(width, 256), blocks, 1), rows, width, dy, leading, partials),
      try addPartials(blocks, width, partials, stride: width, to: bias, adds: adds),
    ]
  }
}
