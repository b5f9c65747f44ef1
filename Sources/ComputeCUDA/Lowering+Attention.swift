import Compute

/// Attention: on tensor cores where they can, else in plain arithmetic.
extension Lowering {
  func lower(_ op: Attention) throws(ComputeError) -> [Command] {
    let (B, T) = (shape(op.qkv)[0], shape(op.qkv)[1])
    let kind = try attentionKind(op)
    return [
      try attention(
        op, kind, "", grid: (tiles(T, kind.queries), op.layout.queryHeads, B), sharedBytes: kind.forwardBytes,
        at.activation(op.y), width(op.y), at.floats(op.logSumExp))
    ]
  }

  func lower(_ gradient: AttentionGradient) throws(ComputeError) -> [Command] {
    let op = gradient.forward
    let (layout, H) = (op.layout, op.layout.queryHeads)
    let (B, T) = (shape(op.qkv)[0], shape(op.qkv)[1])
    let kind = try attentionKind(op)
    let delta = scratch.take(bytes: 4 * B * H * T)
    let dout = at.activation(gradient.dy)
    let ld = width(gradient.dqkv)
    let toDelta = try kernel(
      .sums, "mf_attention_delta", grid: (B * T, 1, 1), threads: 128, Int32(T),
      Int32(H), Int32(layout.headSize), at.activation(op.y), width(op.y), dout, width(gradient.dy), delta)
    if let whole = wholeGradient(op, kind) {
      return [
        toDelta,
        try attention(
          op, kind, "whole_", grid: (whole.blocks, 1, 1), threads: 256, sharedBytes: whole.sharedBytes, Int32(B),
          Int32(H), dout, width(gradient.dy), at.floats(op.logSumExp), delta, scratch.take(bytes: whole.sumBytes),
          at.activation(gradient.dqkv), at.activation(gradient.dqkv, column: layout.queryWidth),
          at.activation(gradient.dqkv, column: layout.queryWidth + layout.keyValueWidth), ld),
      ]
    }
    return [
      toDelta,
      try attention(
        op, kind, "keys_", grid: (tiles(T, kind.gradientRows), layout.keyValueHeads, B), sharedBytes: kind.keysBytes,
        Int32(H), dout, width(gradient.dy), at.floats(op.logSumExp), delta,
        at.activation(gradient.dqkv, column: layout.queryWidth),
        at.activation(gradient.dqkv, column: layout.queryWidth + layout.keyValueWidth), ld),
      try attention(
        op, kind, "queries_", grid: (tiles(T, kind.gradientRows), H, B), sharedBytes: kind.queriesBytes, Int32(H),
        dout, width(gradient.dy), at.floats(op.logSumExp), delta, at.activation(gradient.dqkv), ld),
    ]
  }

  /// How the gradient is computed in one pass; nil where two passes leave fewer multiprocessors idle, or what is summed
  /// doesn't stay in the cache.
  private func wholeGradient(
    _ op: Attention, _ kind: AttentionKernels
  ) -> (blocks: Int, sharedBytes: Int, sumBytes: Int)? {
    let (B, T, K) = (shape(op.qkv)[0], shape(op.qkv)[1], op.layout.keyValueHeads)
    let (D, tiles, blocks) = (op.layout.headSize, tiles(T, 64), device.multiprocessors)
    let sumBytes = 4 * blocks * (op.layout.queryHeads / K) * tiles * 64 * D
    let rounds = ComputeCUDA.tiles(B * K, blocks)
    guard kind.isTensor, D <= 64, op.dropout == 0, device.isAtLeast(8, 0), 4 * B * K >= 3 * rounds * blocks,
      sumBytes <= device.cacheBytes / 4 * 3
    else { return nil }
    return (blocks, 768 * D + 32768 + 8 * tiles, sumBytes)
  }

  /// A kernel of attention's family, with the arguments that all of them begin with.
  private func attention(
    _ op: Attention, _ kind: AttentionKernels, _ pass: String, grid: (Int, Int, Int), threads: Int = 128,
    sharedBytes: Int,
    _ rest: any KernelArgument...
  ) throws(ComputeError) -> Command {
    let layout = op.layout
    let mask: Int32 =
      switch op.mask {
      case .causal: 0
      case .bidirectional: 1
      case .ranges: 2
      }
    let first: [any KernelArgument] = [
      Int32(shape(op.qkv)[1]), Int32(layout.keyValueHeads), Int32(layout.headSize), op.scale, mask,
      op.mask.ranges.map(at.integers), op.dropout, op.site, at.run, at.activation(op.qkv),
      at.activation(op.qkv, column: layout.queryWidth),
      at.activation(op.qkv, column: layout.queryWidth + layout.keyValueWidth), width(op.qkv), width(op.qkv),
    ]
    return .kernel(
      try kernels.call(
        kind.file, kind.prefix + pass + kind.suffix, storage: graph.precision, size: kind.compiledSize, grid: grid,
        threads: threads, sharedBytes: sharedBytes, first + rest))
  }

  private func attentionKind(_ op: Attention) throws(ComputeError) -> AttentionKernels {
    let D = Int(try headSize(op.layout, "attention"))
    let hasTensorCores = graph.precision == .fp16 || graph.precision == .bf16 && device.isAtLeast(8, 0)
    let isTensor =
      hasTensorCores && op.scale > 0 && width(op.qkv).isMultiple(of: 8)
      && ([32, 64, 96].contains(D) || D == 128 && device.isAtLeast(8, 0))
    return AttentionKernels(headSize: D, isTensor: isTensor, drops: op.dropout > 0)
  }

  // MARK: With a cache

  func lower(_ op: CachedAttention) throws(ComputeError) -> [Command] {
    let (layout, H, D) = (op.layout, op.layout.queryHeads, Int(try headSize(op.layout, "attention")))
    let (B, T, capacity) = (shape(op.qkv)[0], shape(op.qkv)[1], shape(op.keys)[1])
    let (rows, ld) = (B * T, width(op.qkv))
    // Few queries share the keys of each among several blocks, so that the machine has enough to do.
    let wanted = max(1, min(256 / (rows * H), tiles(capacity, 128)))
    let split = aligned(tiles(capacity, wanted), to: 128)
    let splits = tiles(capacity, split)
    let partials = splits > 1 ? scratch.take(bytes: 4 * rows * H * splits * (D + 2)) : nil
    let append = try kernel(
      .cachedAttention, "mf_cache_append", grid: (rows, tiles(layout.keyValueWidth, 256), 1), threads: 32, Int32(T),
      layout.keyValueWidth, capacity, at.integers(op.positions), at.activation(op.qkv, column: layout.queryWidth),
      at.activation(op.qkv, column: layout.queryWidth + layout.keyValueWidth), ld, at.floats(op.keys),
      at.floats(op.values))
    let attend = try kernel(
      .cachedAttention, "mf_cached_attention", grid: (rows, H, splits), threads: 128, Int32(T),
      Int32(layout.keyValueHeads), Int32(D), capacity, split, op.scale, at.integers(op.positions),
      at.activation(op.qkv), ld, at.floats(op.keys), at.floats(op.values), at.activation(op.y), width(op.y), partials)
    guard let partials else { return [append, attend] }
    let merge = try kernel(
      .cachedAttention, "mf_cached_attention_merge", grid: (rows, H, 1), threads: 128, Int32(D), Int32(splits), split,
      at.integers(op.positions), partials, at.activation(op.y), width(op.y))
    return [append, attend, merge]
  }
}

/// Which kernels compute an attention, and what their launches need.
private struct AttentionKernels {
  let headSize: Int
  let isTensor: Bool
  let drops: Bool

  var file: Kernels.File { isTensor ? .attentionTensor : .attention }
  var prefix: String { isTensor ? "mf_attention_" : "mf_attention_plain_" }
  var suffix: String { "\(compiledSize)" + (isTensor && drops ? "_dropout" : "") }
  var compiledSize: Int { isTensor ? headSize : plainSize }
  /// The smallest head that plain kernels are compiled for and that holds this one.
  var plainSize: Int { [32, 64, 96, 128].first { $0 >= headSize } ?? 256 }

  /// Queries of a block, forward.
  var queries: Int { isTensor ? 128 : 16 }
  /// Queries or keys of a block, backward.
  var gradientRows: Int { isTensor ? 64 : 16 }

  var forwardBytes: Int {
    guard isTensor else { return 192 * (headSize | 1) }
    return 256 * headSize + 8 * headSize * (headSize <= 64 && !drops ? 64 : 32)
  }
  var keysBytes: Int { isTensor ? (headSize > 64 ? 384 : 256) * headSize : 384 * (headSize | 1) }
  var queriesBytes: Int { isTensor ? 256 * headSize : 384 * (headSize | 1) }
}
