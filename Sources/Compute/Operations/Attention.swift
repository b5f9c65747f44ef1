/// Which keys a query sees, described by ranges and never by a matrix.
package enum AttentionMask: Hashable, Sendable {
  /// Query t sees keys 0...t.
  case causal
  /// Every query sees every key.
  case bidirectional
  /// Query (b, t) sees keys ranges[b, t, 0]..<ranges[b, t, 1], clipped to 0..<T; none: its result is zero. An int32 input
  /// (B, T, 2): padding, prefixes, documents and sliding windows are all ranges (see ``KeyRanges``).
  case ranges(Node)

  package var ranges: Node? {
    if case .ranges(let node) = self { node } else { nil }
  }
}

/// Scaled dot-product attention: o = dropped(softmax(scale·q·kᵀ + mask))·v, without ever holding a T×T matrix.
///
/// What dropout strikes is a function of (seed, micro-step, site, query, key), drawn again in the backward pass.
///
/// Dao et al., "FlashAttention", arXiv:2205.14135.
package struct Attention: Operands {
  package let layout: HeadLayout
  package let scale: Float
  package let mask: AttentionMask
  /// The rate at which probabilities are dropped, in 0..<1; `site` tells this dropout's random numbers from others'.
  package let dropout: Float
  package let site: UInt32
  /// (B, T, (H + 2K)·D).
  package let qkv: Node
  /// (B, T, H·D).
  package let y: Node
  /// (B, H, T): log Σ exp of each query's scores, from which the gradient recomputes the probabilities.
  package let logSumExp: Node

  package var reads: [Node?] { [qkv, mask.ranges] }
  package var writes: [Node?] { [y, logSumExp] }
}

package struct AttentionGradient: Operands {
  package let forward: Attention
  package let dy, dqkv: Node

  package var reads: [Node?] { forward.reads + forward.writes + [dy] }
  package var writes: [Node?] { [dqkv] }
}

/// Attention of new queries against a cache of keys and values, to which theirs are appended first.
///
/// Query (b, t) at position p sees cache rows 0...p of sequence b.
package struct CachedAttention: Operands {
  package let layout: HeadLayout
  package let scale: Float
  /// (B, T, (H + 2K)·D).
  package let qkv: Node
  /// (B, T) of int32: the place in the cache of each new key, in 0..<capacity.
  package let positions: Node
  /// (B, capacity, K·D).
  package let keys, values: Node
  /// (B, T, H·D).
  package let y: Node

  package var reads: [Node?] { [qkv, positions, keys, values] }
  package var writes: [Node?] { [y, keys, values] }
}

extension Graph {
  /// Attention of packed queries, keys and values.
  ///
  /// - Parameters:
  ///   - qkv: (B, T, (H + 2K)·D).
  ///   - scale: what scores are multiplied by; nil is 1/√D.
  ///   - dropout: the rate at which probabilities are zeroed, the others divided by 1 − rate.
  /// - Returns: (B, T, H·D).
  /// - Throws: ``ComputeError/shape(op:expected:got:)``; ``ComputeError/setting(op:problem:)`` unless 0 ≤ rate < 1.
  package mutating func attention(
    _ qkv: Node, layout: HeadLayout, mask: AttentionMask, scale: Float? = nil, dropout: Float = 0
  ) throws(ComputeError) -> Node {
    let shape = shape(qkv)
    try layout.check(shape, op: "attention")
    guard shape.rank == 3 else { throw .shape(op: "attention", expected: "(B, T, …)", got: "\(shape)") }
    if let ranges = mask.ranges, self.shape(ranges) != [shape[0], shape[1], 2] {
      throw .shape(
        op: "attention", expected: "ranges (\(shape[0]), \(shape[1]), 2)", got: "\(self.shape(ranges))")
    }
    let site = try dropout == 0 ? 0 : dropoutSite(rate: dropout, op: "attention")
    let y = intermediate("attention", shape.withWidth(layout.queryWidth))
    let logSumExp = intermediate("attention.logSumExp", [shape[0], layout.queryHeads, shape[1]], .float32)
    operations.append(
      .attention(
        Attention(
          layout: layout, scale: scale ?? 1 / Float(layout.headSize).squareRoot(), mask: mask, dropout: dropout,
          site: site, qkv: qkv, y: y, logSumExp: logSumExp)))
    return y
  }

  /// Attention against a key/value cache; forward only.
  ///
  /// - Parameters:
  ///   - qkv: (B, T, (H + 2K)·D) of the new tokens.
  ///   - positions: (B, T) of int32.
  ///   - keys: (B, capacity, K·D), a state; `values` the same.
  /// - Returns: (B, T, H·D).
  /// - Throws: ``ComputeError/shape(op:expected:got:)``.
  package mutating func cachedAttention(
    _ qkv: Node, positions: Node, keys: Node, values: Node, layout: HeadLayout, scale: Float? = nil
  ) throws(ComputeError) -> Node {
    let shape = shape(qkv)
    try layout.check(shape, op: "cachedAttention")
    let cache = self.shape(keys)
    guard shape.rank == 3, cache.rank == 3, cache[0] == shape[0], cache[2] == layout.keyValueWidth,
      self.shape(values) == cache, self.shape(positions) == [shape[0], shape[1]]
    else {
      throw .shape(
        op: "cachedAttention", expected: "caches (\(shape[0]), capacity, \(layout.keyValueWidth))", got: "\(cache)")
    }
    let y = intermediate("cachedAttention", shape.withWidth(layout.queryWidth))
    operations.append(
      .cachedAttention(
        CachedAttention(
          layout: layout, scale: scale ?? 1 / Float(layout.headSize).squareRoot(), qkv: qkv, positions: positions,
          keys: keys, values: values, y: y)))
    return y
  }
}
