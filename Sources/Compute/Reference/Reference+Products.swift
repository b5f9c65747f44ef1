import Foundation

// Linear layers and the head: operations that are matrix products.

extension ReferenceExecution {
  private func shape(_ node: Node) -> Shape { program.graph.shape(node) }

  /// A·Bᵀ of A (m, k) and B (n, k).
  private func product(_ a: [Double], _ b: [Double], k: Int) -> [Double] {
    let (m, n) = (a.count / k, b.count / k)
    var c = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        for p in 0..<k { sum += a[i * k + p] * b[j * k + p] }
        c[i * n + j] = sum
      }
    }
    return c
  }

  private func transposed(_ x: [Double], width: Int) -> [Double] {
    let rows = x.count / width
    return (0..<x.count).map { x[$0 % rows * width + $0 / rows] }
  }

  private func columnSums(_ x: [Double], width: Int) -> [Double] {
    var sums = [Double](repeating: 0, count: width)
    for i in x.indices { sums[i % width] += x[i] }
    return sums
  }

  func run(_ op: Linear) {
    let K = shape(op.weight)[1]
    let bias = optional(op.bias)
    let residual = optional(op.residual)
    let N = shape(op.weight)[0]
    self[op.y] = product(self[op.x], self[op.weight], k: K).enumerated().map { i, sum in
      sum + (bias?[i % N] ?? 0) + (residual?[i] ?? 0)
    }
  }

  func run(_ op: LinearInputGradient) {
    let (N, K) = (shape(op.weight)[0], shape(op.weight)[1])
    let addend = optional(op.addend)
    self[op.dx] = product(self[op.dy], transposed(self[op.weight], width: K), k: N).enumerated().map { i, sum in
      sum + (addend?[i] ?? 0)
    }
  }

  func run(_ op: LinearWeightGradient, _ context: RunContext) {
    let (N, K) = (shape(op.dy).width, shape(op.x).width)
    let dy = self[op.dy]
    let dWeight = product(transposed(dy, width: N), transposed(self[op.x], width: K), k: shape(op.x).rows)
    store(dWeight, in: op.dWeight, context)
    store(columnSums(dy, width: N), in: op.dBias, context)
  }

  private func logits(_ x: Node, _ weight: Node, _ bias: Node?, softcap: Float?) -> [Double] {
    let V = shape(weight)[0]
    let bias = optional(bias)
    let z = product(self[x], self[weight], k: shape(weight)[1]).enumerated().map { $1 + (bias?[$0 % V] ?? 0) }
    guard let softcap else { return z }
    return z.map { Double(softcap) * tanh($0 / Double(softcap)) }
  }

  func run(_ op: Logits) {
    self[op.logits] = logits(op.x, op.weight, op.bias, softcap: op.softcap)
  }

  func run(_ op: HeadLoss, _ context: RunContext) {
    let (V, C) = (shape(op.weight)[0], shape(op.weight)[1])
    let z = logits(op.x, op.weight, op.bias, softcap: op.softcap)
    let targets = integers(op.targets)
    let weights = self[op.weights]
    let normalizer = self[op.normalizer][0]
    var losses = weights
    var correct = weights
    var dz = [Double](repeating: 0, count: z.count)
    let (smoothing, zLoss) = (Double(op.terms.labelSmoothing), Double(op.terms.zLoss))
    for row in weights.indices {
      guard weights[row] != 0 else {
        (losses[row], correct[row]) = (0, 0)
        continue
      }
      let logits = z[row * V..<(row + 1) * V]
      let maximum = logits.reduce(-Double.infinity, max)
      let logSumExp = maximum + log(logits.reduce(0) { $0 + exp($1 - maximum) })
      losses[row] =
        logSumExp - (1 - smoothing) * z[row * V + targets[row]] - smoothing * logits.reduce(0, +) / Double(V)
        + zLoss * logSumExp * logSumExp
      correct[row] = logits.firstIndex(of: maximum) == row * V + targets[row] ? 1 : 0
      let share = weights[row] / normalizer * Double(context.lossScale)
      for v in 0..<V {
        let i = row * V + v
        let wanted = (v == targets[row] ? 1 - smoothing : 0) + smoothing / Double(V)
        dz[i] = (exp(z[i] - logSumExp) * (1 + 2 * zLoss * logSumExp) - wanted) * share
        if let cap = op.softcap.map(Double.init) { dz[i] *= 1 - (z[i] / cap) * (z[i] / cap) }
      }
    }
    self[op.losses] = losses
    self[op.correct] = correct
    guard let gradients = op.gradients else { return }
    self[gradients.dx] = product(dz, transposed(self[op.weight], width: C), k: V)
    store(
      product(transposed(dz, width: V), transposed(self[op.x], width: C), k: weights.count), in: gradients.dWeight,
      context)
    store(columnSums(dz, width: V), in: gradients.dBias, context)
  }
}
