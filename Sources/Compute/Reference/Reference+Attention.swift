import Foundation

extension ReferenceExecution {
  private func shape(_ node: Node) -> Shape { program.graph.shape(node) }

  /// The keys that query (b, t) sees.
  private func keys(_ op: Attention, _ b: Int, _ t: Int) -> Range<Int> {
    let T = shape(op.qkv)[1]
    switch op.mask {
    case .causal: return 0..<t + 1
    case .bidirectional: return 0..<T
    case .ranges(let node):
      let ranges = integers(node)
      let start = max(0, ranges[2 * (b * T + t)])
      return start..<max(start, min(T, ranges[2 * (b * T + t) + 1]))
    }
  }

  /// Where query head h, key and value of (b, t) start in packed rows.
  private func starts(_ layout: HeadLayout, row: Int, head h: Int) -> (query: Int, key: Int, value: Int) {
    let start = row * layout.packedWidth
    let group = h / (layout.queryHeads / layout.keyValueHeads)
    return (
      start + h * layout.headSize, start + (layout.queryHeads + group) * layout.headSize,
      start + (layout.queryHeads + layout.keyValueHeads + group) * layout.headSize
    )
  }

  func run(_ op: Attention, _ context: RunContext) {
    let qkv = self[op.qkv]
    let mask = DropoutMask(rate: op.dropout, site: op.site, context)
    let (B, T, H, D) = (shape(op.qkv)[0], shape(op.qkv)[1], op.layout.queryHeads, op.layout.headSize)
    var y = [Double](repeating: 0, count: shape(op.y).count)
    var logSumExps = [Double](repeating: -.infinity, count: B * H * T)
    for b in 0..<B {
      for h in 0..<H {
        for t in 0..<T {
          let query = starts(op.layout, row: b * T + t, head: h).query
          let keys = keys(op, b, t)
          guard !keys.isEmpty else { continue }
          let scores = keys.map { j in
            let key = starts(op.layout, row: b * T + j, head: h).key
            return (0..<D).reduce(0) { $0 + qkv[query + $1] * qkv[key + $1] } * Double(op.scale)
          }
          let maximum = scores.reduce(-Double.infinity, max)
          let logSumExp = maximum + log(scores.reduce(0) { $0 + exp($1 - maximum) })
          logSumExps[(b * H + h) * T + t] = logSumExp
          for (j, score) in zip(keys, scores) {
            let value = starts(op.layout, row: b * T + j, head: h).value
            let p = exp(score - logSumExp) * mask.factor(queryRow: (b * H + h) * T + t, key: j)
            for d in 0..<D { y[((b * T + t) * H + h) * D + d] += p * qkv[value + d] }
          }
        }
      }
    }
    self[op.y] = y
    self[op.logSumExp] = logSumExps
  }

  func run(_ op: AttentionGradient, _ context: RunContext) {
    let mask = DropoutMask(rate: op.forward.dropout, site: op.forward.site, context)
    let qkv = self[op.forward.qkv]
    let y = self[op.forward.y]
    let dy = self[op.dy]
    let logSumExps = self[op.forward.logSumExp]
    let layout = op.forward.layout
    let scale = Double(op.forward.scale)
    let (B, T) = (shape(op.forward.qkv)[0], shape(op.forward.qkv)[1])
    let (H, D) = (layout.queryHeads, layout.headSize)
    var dqkv = [Double](repeating: 0, count: qkv.count)
    for b in 0..<B {
      for h in 0..<H {
        for t in 0..<T {
          let query = starts(layout, row: b * T + t, head: h).query
          let out = ((b * T + t) * H + h) * D
          let delta = (0..<D).reduce(0) { $0 + dy[out + $1] * y[out + $1] }
          for j in keys(op.forward, b, t) {
            let (_, key, value) = starts(layout, row: b * T + j, head: h)
            let score = (0..<D).reduce(0) { $0 + qkv[query + $1] * qkv[key + $1] } * scale
            let p = exp(score - logSumExps[(b * H + h) * T + t])
            let kept = mask.factor(queryRow: (b * H + h) * T + t, key: j)
            let dp = (0..<D).reduce(0) { $0 + dy[out + $1] * qkv[value + $1] } * kept
            let ds = p * (dp - delta) * scale
            for d in 0..<D {
              dqkv[query + d] += ds * qkv[key + d]
              dqkv[key + d] += ds * qkv[query + d]
              dqkv[value + d] += p * kept * dy[out + d]
            }
          }
        }
      }
    }
    self[op.dqkv] = dqkv
  }

  func run(_ op: CachedAttention) {
    let qkv = self[op.qkv]
    var cachedKeys = self[op.keys]
    var cachedValues = self[op.values]
    let positions = integers(op.positions)
    let (B, T, H, D) = (shape(op.qkv)[0], shape(op.qkv)[1], op.layout.queryHeads, op.layout.headSize)
    let capacity = shape(op.keys)[1]
    let width = op.layout.keyValueWidth
    for row in 0..<B * T {
      let (_, key, value) = starts(op.layout, row: row, head: 0)
      let place = (row / T * capacity + positions[row]) * width
      for d in 0..<width {
        cachedKeys[place + d] = qkv[key + d]
        cachedValues[place + d] = qkv[value + d]
      }
    }
    var y = [Double](repeating: 0, count: shape(op.y).count)
    for row in 0..<B * T {
      for h in 0..<H {
        let query = starts(op.layout, row: row, head: h).query
        let head = h / (H / op.layout.keyValueHeads) * D
        let places = (0...positions[row]).map { (row / T * capacity + $0) * width + head }
        let scores = places.map { place in
          (0..<D).reduce(0) { $0 + qkv[query + $1] * cachedKeys[place + $1] } * Double(op.scale)
        }
        let maximum = scores.reduce(-Double.infinity, max)
        let sum = scores.reduce(0) { $0 + exp($1 - maximum) }
        for (place, score) in zip(places, scores) {
          let p = exp(score - maximum) / sum
          for d in 0..<D { y[(row * H + h) * D + d] += p * cachedValues[place + d] }
        }
      }
    }
    self[op.y] = y
    self[op.keys] = cachedKeys
    self[op.values] = cachedValues
  }
}
