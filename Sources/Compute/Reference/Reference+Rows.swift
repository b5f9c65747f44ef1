import Foundation

// Embedding, norms, rotary positions, activations, dropout: operations on single rows.

extension ReferenceExecution {
  private func shape(_ node: Node) -> Shape { program.graph.shape(node) }

  func run(_ op: Embedding) {
    let table = self[op.table]
    let C = shape(op.table).width
    self[op.y] = integers(op.ids).flatMap { table[$0 * C..<($0 + 1) * C].map { Double(op.scale) * $0 } }
  }

  func run(_ op: EmbeddingGradient, _ context: RunContext) {
    let dy = self[op.dy]
    let table = shape(op.dTable.node)
    let C = table.width
    var dTable = [Double](repeating: 0, count: table.count)
    for (n, id) in integers(op.ids).enumerated() {
      for c in 0..<C { dTable[id * C + c] += Double(op.scale) * dy[n * C + c] }
    }
    store(dTable, in: op.dTable, context)
  }

  /// How many tokens before it each token sees.
  private func reach(_ positions: Node, taps: Int, cached: Bool) -> [Int] {
    let time = shape(positions)[1]
    return integers(positions).enumerated().map { min(taps, $1, cached ? taps : $0 % time) }
  }

  func run(_ op: CausalConvolution) {
    let (x, w) = (self[op.x], self[op.weight])
    let (T, C) = (shape(op.x)[1], shape(op.x)[2])
    let positions = integers(op.positions)
    var cache = optional(op.cache)
    var y = x
    for (row, reach) in reach(op.positions, taps: shape(op.weight)[0], cached: cache != nil).enumerated() {
      for c in 0..<C {
        // Where this channel of this token is, or will be, in the cache.
        let place = op.cache.map { (row / T * shape($0)[1] + positions[row]) * C + c } ?? 0
        for j in 0..<reach {
          let before = j < row % T ? x[(row - j - 1) * C + c] : cache?[place - (j + 1) * C] ?? 0
          y[row * C + c] += w[j * C + c] * before
        }
        cache?[place] = x[row * C + c]
      }
    }
    self[op.y] = y
    if let node = op.cache, let cache { self[node] = cache }
  }

  func run(_ op: CausalConvolutionGradient, _ context: RunContext) {
    let (x, w, dy) = (self[op.x], self[op.weight], self[op.dy])
    let C = shape(op.x)[2]
    var (dx, dw, y) = (dy, [Double](repeating: 0, count: w.count), x)
    for (row, reach) in reach(op.positions, taps: shape(op.weight)[0], cached: false).enumerated() {
      for j in 0..<reach {
        for c in 0..<C {
          let (here, before) = (row * C + c, (row - j - 1) * C + c)
          dx[before] += w[j * C + c] * dy[here]
          dw[j * C + c] += dy[here] * x[before]
          y[here] += w[j * C + c] * x[before]
        }
      }
    }
    self[op.dx] = dx
    if let slot = op.dWeight { store(dw, in: slot, context) }
    if let node = op.y { self[node] = y }
  }

  /// The tokens of each range, as rows of x as one list.
  private func pools(_ ranges: Node, time: Int) -> [Range<Int>] {
    let ends = integers(ranges)
    let perRow = shape(ranges)[1]
    return stride(from: 0, to: ends.count, by: 2).map { index in
      let first = index / 2 / perRow * time
      let start = max(0, ends[index])
      return first + start..<first + max(start, min(time, ends[index + 1]))
    }
  }

  func run(_ op: MeanPool) {
    let x = self[op.x]
    let C = shape(op.x).width
    self[op.y] = pools(op.ranges, time: shape(op.x)[1]).flatMap { rows in
      (0..<C).map { c in rows.isEmpty ? 0 : rows.reduce(0) { $0 + x[$1 * C + c] } / Double(rows.count) }
    }
  }

  func run(_ op: MeanPoolGradient) {
    let dy = self[op.dy]
    let C = shape(op.dx).width
    var dx = [Double](repeating: 0, count: shape(op.dx).count)
    for (s, rows) in pools(op.ranges, time: shape(op.dx)[1]).enumerated() {
      for row in rows { for c in 0..<C { dx[row * C + c] += dy[s * C + c] / Double(rows.count) } }
    }
    self[op.dx] = dx
  }

  func run(_ op: Norm) {
    let x = self[op.x]
    let weight = optional(op.weight)
    let bias = optional(op.bias)
    let C = shape(op.x).width
    var y = x
    var means: [Double] = []
    var rstds: [Double] = []
    for start in stride(from: 0, to: x.count, by: C) {
      let row = x[start..<start + C]
      let mean = op.kind == .layer ? row.reduce(0, +) / Double(C) : 0
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(C)
      let rstd = 1 / (variance + Double(op.epsilon)).squareRoot()
      for c in 0..<C { y[start + c] = (x[start + c] - mean) * rstd * (weight?[c] ?? 1) + (bias?[c] ?? 0) }
      means.append(mean)
      rstds.append(rstd)
    }
    self[op.y] = y
    self[op.rstd] = rstds
    if let mean = op.mean { self[mean] = means }
  }

  func run(_ op: NormGradient, _ context: RunContext) {
    let x = self[op.x]
    let dy = self[op.dy]
    let weight = optional(op.weight)
    let means = optional(op.mean)
    let rstds = self[op.rstd]
    let addend = optional(op.addend)
    let C = shape(op.x).width
    var dx = x
    var y = x
    let bias = optional(op.bias)
    var dWeight = [Double](repeating: 0, count: C)
    var dBias = dWeight
    for row in rstds.indices {
      let indices = row * C..<(row + 1) * C
      let normalized = indices.map { (x[$0] - (means?[row] ?? 0)) * rstds[row] }
      let g = indices.map { dy[$0] * (weight?[$0 - row * C] ?? 1) }
      let meanOfG = op.kind == .layer ? g.reduce(0, +) / Double(C) : 0
      let meanOfProduct = zip(g, normalized).reduce(0) { $0 + $1.0 * $1.1 } / Double(C)
      for c in 0..<C {
        let i = row * C + c
        dx[i] = (addend?[i] ?? 0) + rstds[row] * (g[c] - meanOfG - normalized[c] * meanOfProduct)
        y[i] = normalized[c] * (weight?[c] ?? 1) + (bias?[c] ?? 0)
        dWeight[c] += dy[i] * normalized[c]
        dBias[c] += dy[i]
      }
    }
    self[op.dx] = dx
    if let remade = op.y { self[remade] = y }
    store(dWeight, in: op.dWeight, context)
    store(dBias, in: op.dBias, context)
  }

  func run(_ op: HeadNorm) {
    let x = self[op.x]
    let weights = [optional(op.queryWeight), optional(op.keyWeight)]
    var y = x
    var rstds: [Double] = []
    for row in 0..<shape(op.x).rows {
      for head in 0..<op.layout.normalizedHeads {
        let indices = op.layout.indices(row: row, head: head)
        let weight = weights[head < op.layout.queryHeads ? 0 : 1]
        let mean = indices.reduce(0) { $0 + x[$1] * x[$1] } / Double(op.layout.headSize)
        let rstd = 1 / (mean + Double(op.epsilon)).squareRoot()
        for i in indices { y[i] = x[i] * rstd * (weight?[i - indices.lowerBound] ?? 1) }
        rstds.append(rstd)
      }
    }
    self[op.y] = y
    self[op.rstd] = rstds
  }

  func run(_ op: HeadNormGradient, _ context: RunContext) {
    let x = self[op.x]
    let dy = self[op.dy]
    let rstds = self[op.rstd]
    let D = op.layout.headSize
    let weights = [optional(op.queryWeight), optional(op.keyWeight)]
    var dWeights = [[Double]](repeating: [Double](repeating: 0, count: D), count: 2)
    var dx = dy
    for row in 0..<shape(op.x).rows {
      for head in 0..<op.layout.normalizedHeads {
        let indices = op.layout.indices(row: row, head: head)
        let kind = head < op.layout.queryHeads ? 0 : 1
        let rstd = rstds[row * op.layout.normalizedHeads + head]
        let g = indices.map { dy[$0] * (weights[kind]?[$0 - indices.lowerBound] ?? 1) }
        let meanOfProduct = zip(g, indices).reduce(0) { $0 + $1.0 * x[$1.1] * rstd } / Double(D)
        for (d, i) in indices.enumerated() {
          dx[i] = rstd * (g[d] - x[i] * rstd * meanOfProduct)
          dWeights[kind][d] += dy[i] * x[i] * rstd
        }
      }
    }
    self[op.dx] = dx
    store(dWeights[0], in: op.dQueryWeight, context)
    store(dWeights[1], in: op.dKeyWeight, context)
  }

  func run(_ op: Rotary) {
    let x = self[op.x]
    let positions = integers(op.positions)
    let half = op.layout.headSize / 2
    var y = x
    for row in positions.indices {
      for head in 0..<op.layout.normalizedHeads {
        let start = op.layout.indices(row: row, head: head).lowerBound
        for pair in 0..<half {
          let angle = Double(op.frequencies.angle(position: positions[row], pair: pair)) * (op.inverse ? -1 : 1)
          let (x1, x2) = (x[start + pair], x[start + half + pair])
          y[start + pair] = x1 * cos(angle) - x2 * sin(angle)
          y[start + half + pair] = x2 * cos(angle) + x1 * sin(angle)
        }
      }
    }
    self[op.y] = y
  }

  func run(_ op: Activation) {
    self[op.y] = activated(op.kind, gated: op.gated, self[op.x], width: shape(op.x).width)
  }

  /// - Parameter width: of x.
  private func activated(_ kind: ActivationKind, gated: Bool, _ x: [Double], width: Int) -> [Double] {
    guard gated else { return x.map(kind.value) }
    let F = width / 2
    return (0..<x.count / 2).map { i in
      let gate = i / F * 2 * F + i % F
      return kind.value(x[gate]) * x[gate + F]
    }
  }

  func run(_ op: ActivationGradient) {
    let x = self[op.x]
    let dy = self[op.dy]
    if let y = op.y { self[y] = activated(op.kind, gated: op.gated, x, width: shape(op.x).width) }
    guard op.gated else {
      self[op.dx] = zip(x, dy).map { op.kind.derivative($0) * $1 }
      return
    }
    let F = shape(op.dy).width
    var dx = x
    for i in dy.indices {
      let gate = i / F * 2 * F + i % F
      dx[gate] = dy[i] * x[gate + F] * op.kind.derivative(x[gate])
      dx[gate + F] = dy[i] * op.kind.value(x[gate])
    }
    self[op.dx] = dx
  }

  func run(_ op: Dropout, _ context: RunContext) {
    let mask = DropoutMask(rate: op.rate, site: op.site, context)
    self[op.y] = self[op.x].enumerated().map { i, x in x * mask.factor(i) }
  }
}

extension HeadLayout {
  /// Queries and keys: the heads that norms and rotary positions touch.
  package var normalizedHeads: Int { queryHeads + keyValueHeads }

  func indices(row: Int, head: Int) -> Range<Int> {
    let start = row * packedWidth + head * headSize
    return start..<start + headSize
  }
}

extension ActivationKind {
  /// f(x).
  func value(_ x: Double) -> Double {
    switch self {
    case .relu: max(x, 0)
    case .reluSquared: x > 0 ? x * x : 0
    case .silu: x / (1 + exp(-x))
    case .gelu: x * 0.5 * (1 + erf(x / 2.0.squareRoot()))
    case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
  }

  /// f′(x).
  func derivative(_ x: Double) -> Double {
    switch self {
    case .relu: return x > 0 ? 1 : 0
    case .reluSquared: return x > 0 ? 2 * x : 0
    case .silu:
      let sigma = 1 / (1 + exp(-x))
      return sigma * (1 + x * (1 - sigma))
    case .gelu:
      let density = exp(-x * x / 2) / (2 * Double.pi).squareRoot()
      return 0.5 * (1 + erf(x / 2.0.squareRoot())) + x * density
    case .geluTanh:
      let k = (2 / Double.pi).squareRoot()
      let t = tanh(k * (x + 0.044715 * x * x * x))
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)
    }
  }
}
