internal import CKernels
import Compute

/// Turns operations over values into kernel calls over addresses.
struct Lowering {
  private let graph: Graph
  private let at: Addresses
  /// Cosines and sines for rotary positions.
  private let rotaryTable: (RotaryFrequencies, Int) throws(ComputeError) -> RotaryTable
  /// Room for the head's logits.
  private let headWorkspace: UnsafeMutablePointer<Float>

  init(
    _ addresses: Addresses,
    rotaryTable: @escaping (RotaryFrequencies, Int) throws(ComputeError) -> RotaryTable,
    headWorkspace: UnsafeMutablePointer<Float>
  ) {
    graph = addresses.graph
    at = addresses
    self.rotaryTable = rotaryTable
    self.headWorkspace = headWorkspace
  }

  private func shape(_ node: Node) -> Shape { graph.shape(node) }
  private func rows(_ node: Node) -> Int64 { Int64(shape(node).rows) }
  private func width(_ node: Node) -> Int64 { Int64(shape(node).width) }

  func lower(_ operation: Operation) throws(ComputeError) -> [Instruction] {
    switch operation {
    case .embedding(let op):
      return [
        .embedding(
          mf_embedding(
            rows: rows(op.y), width: width(op.table), vocabulary: rows(op.table), scale: op.scale,
            ids: at.integers(op.ids), table: at.operand(op.table), y: at.activation(op.y)))
      ]

    case .embeddingGradient(let op):
      let table = op.dTable.node
      return [
        .embeddingGradient(
          mf_embedding_grad(
            rows: rows(op.dy), width: width(table), vocabulary: rows(table), scale: op.scale,
            ids: at.integers(op.ids), dy: at.activation(op.dy), dtable: at.floats(table), accumulate: false),
          addsAlways: op.dTable.addsAlways)
      ]

    case .norm(let op):
      return [
        .norm(
          mf_norm(
            kind: op.kind.kernel, rows: rows(op.x), width: width(op.x), epsilon: op.epsilon, x: at.activation(op.x),
            weight: at.floats(op.weight), bias: at.floats(op.bias), y: at.activation(op.y), mean: at.floats(op.mean),
            rstd: at.floats(op.rstd)))
      ]

    case .normGradient(let op):
      return [
        .normGradient(
          mf_norm_grad(
            kind: op.kind.kernel, rows: rows(op.x), width: width(op.x), epsilon: op.epsilon, x: at.activation(op.x),
            dy: at.activation(op.dy), addend: at.activation(op.addend), weight: at.floats(op.weight),
            bias: at.floats(op.bias), mean: at.floats(op.mean), rstd: at.floats(op.rstd), dx: at.activation(op.dx),
            y: at.activation(op.y), dweight: at.floats(op.dWeight?.node), dbias: at.floats(op.dBias?.node),
            accumulate_weight: false, accumulate_bias: false),
          weightAddsAlways: op.dWeight?.addsAlways ?? false, biasAddsAlways: op.dBias?.addsAlways ?? false)
      ]

    case .headNorm(let op):
      return [
        .headNorm(
          mf_head_norm(
            rows: rows(op.x), ld: width(op.x), heads: Int64(op.layout.normalizedHeads),
            query_heads: Int64(op.layout.queryHeads), head_size: Int64(op.layout.headSize), epsilon: op.epsilon,
            x: at.activation(op.x), query_weight: at.floats(op.queryWeight), key_weight: at.floats(op.keyWeight),
            y: at.activation(op.y), rstd: at.floats(op.rstd)))
      ]

    case .headNormGradient(let op):
      return [
        .headNormGradient(
          mf_head_norm_grad(
            rows: rows(op.x), ld: width(op.x), heads: Int64(op.layout.normalizedHeads),
            query_heads: Int64(op.layout.queryHeads), head_size: Int64(op.layout.headSize), epsilon: op.epsilon,
            x: at.activation(op.x), dy: at.activation(op.dy), query_weight: at.floats(op.queryWeight),
            key_weight: at.floats(op.keyWeight), rstd: at.floats(op.rstd), dx: at.activation(op.dx),
            dquery_weight: at.floats(op.dQueryWeight?.node), dkey_weight: at.floats(op.dKeyWeight?.node),
            accumulate: false),
          addsAlways: op.dQueryWeight?.addsAlways ?? false)
      ]

    case .linear(let op):
      return [
        .gemm(
          mf_gemm(
            m: rows(op.x), n: rows(op.weight), k: width(op.weight), a: at.activation(op.x), lda: width(op.x),
            a_transposed: false, b: at.operand(op.weight), ldb: width(op.weight), b_transposed: true,
            c: at.activation(op.y), ldc: width(op.y), c_fp32: false, initial: at.activation(op.residual),
            ld_initial: width(op.y), bias: at.floats(op.bias), a_sums: nil, accumulate_a_sums: false))
      ]

    case .linearInputGradient(let op):
      return [
        .gemm(
          mf_gemm(
            m: rows(op.dy), n: width(op.weight), k: rows(op.weight), a: at.activation(op.dy), lda: width(op.dy),
            a_transposed: false, b: at.operand(op.weight), ldb: width(op.weight), b_transposed: false,
            c: at.activation(op.dx), ldc: width(op.dx), c_fp32: false, initial: at.activation(op.addend),
            ld_initial: width(op.dx), bias: nil, a_sums: nil, accumulate_a_sums: false))
      ]

    case .linearWeightGradient(let op):
      return [
        .gradientGemm(
          mf_gemm(
            m: width(op.dy), n: width(op.x), k: rows(op.x), a: at.activation(op.dy), lda: width(op.dy),
            a_transposed: true, b: at.activation(op.x), ldb: width(op.x), b_transposed: false,
            c: at.floats(op.dWeight.node), ldc: width(op.x), c_fp32: true, initial: nil, ld_initial: width(op.x),
            bias: nil, a_sums: at.floats(op.dBias?.node), accumulate_a_sums: false),
          weightAddsAlways: op.dWeight.addsAlways, biasAddsAlways: op.dBias?.addsAlways ?? false)
      ]

    case .rotary(let op):
      let table = try rotaryTable(op.frequencies, op.maxPositions)
      return [
        .rotary(
          mf_rotary(
            rows: rows(op.x), ld: width(op.x), heads: Int64(op.layout.normalizedHeads),
            head_size: Int64(op.layout.headSize), positions: at.integers(op.positions), cosines: table.cosines,
            sines: table.sines, inverse: op.inverse, x: at.activation(op.x), y: at.activation(op.y)))
      ]

    case .attention(let op):
      return [.attention(arguments(op))]

    case .attentionGradient(let op):
      let layout = op.forward.layout
      return [
        .attentionGradient(
          mf_attention_grad(
            forward: arguments(op.forward), do_: at.activation(op.dy), ld_do: width(op.dy), dq: at.activation(op.dqkv),
            dk: at.activation(op.dqkv, column: layout.queryWidth),
            dv: at.activation(op.dqkv, column: layout.queryWidth + layout.keyValueWidth),
            ld_dq: width(op.dqkv), ld_dkv: width(op.dqkv)))
      ]

    case .cachedAttention(let op):
      let layout = op.layout
      return [
        .cachedAttention(
          mf_cached_attention(
            batch: Int64(shape(op.qkv)[0]), time: Int64(shape(op.qkv)[1]), heads: Int64(layout.queryHeads),
            kv_heads: Int64(layout.keyValueHeads), head_size: Int64(layout.headSize),
            capacity: Int64(shape(op.keys)[1]), scale: op.scale, positions: at.integers(op.positions),
            q: at.activation(op.qkv), k: at.activation(op.qkv, column: layout.queryWidth),
            v: at.activation(op.qkv, column: layout.queryWidth + layout.keyValueWidth), ld_q: width(op.qkv),
            ld_kv: width(op.qkv), k_cache: at.floats(op.keys), v_cache: at.floats(op.values), o: at.activation(op.y),
            ld_o: width(op.y)))
      ]

    case .activation(let op):
      return [
        .activation(
          mf_activation(
            kind: op.kind.kernel, gated: op.gated, rows: rows(op.y), width: width(op.y), x: at.activation(op.x),
            y: at.activation(op.y)))
      ]

    case .activationGradient(let op):
      return [
        .activationGradient(
          mf_activation_grad(
            kind: op.kind.kernel, gated: op.gated, rows: rows(op.dy), width: width(op.dy), x: at.activation(op.x),
            dy: at.activation(op.dy), dx: at.activation(op.dx), y: at.activation(op.y)))
      ]

    case .dropout(let op):
      return [
        .dropout(
          mf_dropout(
            count: Int64(shape(op.x).count), rate: op.rate, seed: 0, site: op.site, micro_step: 0,
            x: at.activation(op.x), y: at.activation(op.y)))
      ]

    case .add(let op):
      return [
        .add(count: Int64(shape(op.y).count), a: at.activation(op.a), b: at.activation(op.b), y: at.activation(op.y))
      ]

    case .causalConvolution(let op):
      return [.convolution(convolution(x: op.x, op.weight, op.positions, cache: op.cache, y: op.y))]

    case .causalConvolutionGradient(let op):
      return [
        .convolutionGradient(
          mf_convolution_grad(
            forward: convolution(x: op.x, op.weight, op.positions, cache: nil, y: op.y), dy: at.activation(op.dy),
            dx: at.activation(op.dx), dweight: at.floats(op.dWeight?.node), accumulate: false),
          addsAlways: op.dWeight?.addsAlways ?? false)
      ]

    case .meanPool(let op):
      return [
        .meanPool(
          mf_mean_pool(
            batch: Int64(shape(op.x)[0]), time: Int64(shape(op.x)[1]), width: width(op.x),
            pools: Int64(shape(op.y)[1]), ranges: at.integers(op.ranges), x: at.activation(op.x),
            y: at.activation(op.y)))
      ]

    case .meanPoolGradient(let op):
      return [
        .meanPoolGradient(
          mf_mean_pool_grad(
            batch: Int64(shape(op.dx)[0]), time: Int64(shape(op.dx)[1]), width: width(op.dx),
            pools: Int64(shape(op.dy)[1]), ranges: at.integers(op.ranges), dy: at.activation(op.dy),
            dx: at.activation(op.dx)))
      ]

    case .logits(let op):
      let product = Instruction.gemm(
        mf_gemm(
          m: rows(op.x), n: rows(op.weight), k: width(op.x), a: at.activation(op.x), lda: width(op.x),
          a_transposed: false, b: at.operand(op.weight), ldb: width(op.weight), b_transposed: true,
          c: at.floats(op.logits), ldc: width(op.logits), c_fp32: true, initial: nil, ld_initial: 0,
          bias: at.floats(op.bias), a_sums: nil, accumulate_a_sums: false))
      guard let cap = op.softcap else { return [product] }
      return [product, .softcap(count: Int64(shape(op.logits).count), cap: cap, x: at.floats(op.logits))]

    case .headLoss(let op):
      let gradients = op.gradients
      return [
        .headLoss(
          mf_head_loss(
            rows: rows(op.x), width: width(op.x), vocabulary: rows(op.weight), softcap: op.softcap ?? 0,
            smoothing: op.terms.labelSmoothing, z_loss: op.terms.zLoss, x: at.activation(op.x),
            weight: at.operand(op.weight), bias: at.floats(op.bias), targets: at.integers(op.targets),
            weights: at.floats(op.weights), normalizer: at.floats(op.normalizer), gradient_scale: 1,
            losses: at.floats(op.losses), correct: at.floats(op.correct),
            dx: at.activation(gradients?.dx), dweight: at.floats(gradients?.dWeight.node),
            dbias: at.floats(gradients?.dBias?.node), accumulate_weight: false, accumulate_bias: false,
            workspace: headWorkspace),
          weightAddsAlways: gradients?.dWeight.addsAlways ?? false,
          biasAddsAlways: gradients?.dBias?.addsAlways ?? false)
      ]
    }
  }

  private func convolution(x: Node, _ weight: Node, _ positions: Node, cache: Node?, y: Node?) -> mf_convolution {
    mf_convolution(
      rows: rows(x), time: Int64(shape(x)[1]), width: width(x), taps: rows(weight),
      capacity: cache.map { Int64(shape($0)[1]) } ?? 0, positions: at.integers(positions), x: at.activation(x),
      weight: at.floats(weight), cache: at.floats(cache), y: at.activation(y))
  }

  private func arguments(_ op: Attention) -> mf_attention {
    let layout = op.layout
    let mask: mf_mask_kind =
      switch op.mask {
      case .causal: MF_MASK_CAUSAL
      case .bidirectional: MF_MASK_FULL
      case .ranges: MF_MASK_RANGES
      }
    return mf_attention(
      batch: Int64(shape(op.qkv)[0]), time: Int64(shape(op.qkv)[1]), heads: Int64(layout.queryHeads),
      kv_heads: Int64(layout.keyValueHeads), head_size: Int64(layout.headSize), scale: op.scale,
      dropout: op.dropout, seed: 0, site: op.site, micro_step: 0, mask: mask, ranges: op.mask.ranges.map(at.integers),
      q: at.activation(op.qkv), k: at.activation(op.qkv, column: layout.queryWidth),
      v: at.activation(op.qkv, column: layout.queryWidth + layout.keyValueWidth), ld_q: width(op.qkv),
      ld_kv: width(op.qkv), o: at.activation(op.y), ld_o: width(op.y), lse: at.floats(op.logSumExp))
  }
}

extension Operation {
  /// Bytes of scratch that each worker needs for this operation.
  func scratch(in graph: Graph) -> Int {
    func attention(_ op: Attention, gradient: Bool) -> Int {
      mf_attention_scratch(graph.precision.storage, Int64(graph.shape(op.qkv)[1]), Int64(op.layout.headSize), gradient)
    }
    switch self {
    case .attention(let op): return attention(op, gradient: false)
    case .attentionGradient(let op): return attention(op.forward, gradient: true)
    case .cachedAttention(let op):
      return mf_attention_scratch(
        graph.precision.storage, Int64(graph.shape(op.keys)[1]), Int64(op.layout.headSize), false)
    case .linear, .linearInputGradient, .logits, .headLoss: return mf_gemm_scratch()
    case .linearWeightGradient(let op): return max(mf_gemm_scratch(), mf_row_scratch(Int64(graph.shape(op.dy).width)))
    case .causalConvolutionGradient(let op): return mf_row_scratch(Int64(graph.shape(op.weight).count))
    case .embedding, .embeddingGradient, .norm, .normGradient, .headNorm, .headNormGradient, .rotary, .activation,
      .activationGradient, .dropout, .add, .causalConvolution, .meanPool, .meanPoolGradient:
      let width = operands.reads.compactMap(\.self).map { graph.shape($0).width }.max() ?? 1
      return mf_row_scratch(Int64(width))
    }
  }

  /// Floats of workspace that the whole operation needs beside its outputs.
  func workspace(in graph: Graph) -> Int {
    guard case .headLoss(let op) = self else { return 0 }
    let x = graph.shape(op.x)
    return Int(mf_head_loss_workspace(Int64(x.rows), Int64(x.width), Int64(graph.shape(op.weight).rows)))
  }
}

extension NormKind {
  fileprivate var kernel: mf_norm_kind {
    switch self {
    case .layer: MF_LAYER_NORM
    case .rms: MF_RMS_NORM
    }
  }
}

extension ActivationKind {
  fileprivate var kernel: mf_activation_kind {
    switch self {
    case .relu: MF_RELU
    case .reluSquared: MF_RELU_SQUARED
    case .silu: MF_SILU
    case .gelu: MF_GELU
    case .geluTanh: MF_GELU_TANH
    }
  }
}
