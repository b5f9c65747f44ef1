internal import CKernels
import Compute

/// Turns operations over values into kernel calls over addresses.
struct Lowering {
  let graph: Graph
  /// The address of a value.
  let address: (Node) -> UnsafeMutablePointer<Float>
  /// Cosines and sines for rotary positions.
  let rotaryTable: (RotaryFrequencies, Int) throws(ComputeError) -> RotaryTable
  /// Room for the head's logits.
  let headWorkspace: UnsafeMutablePointer<Float>

  private func shape(_ node: Node) -> Shape { graph.shape(node) }
  private func rows(_ node: Node) -> Int64 { Int64(shape(node).rows) }
  private func width(_ node: Node) -> Int64 { Int64(shape(node).width) }
  private func address(_ node: Node?) -> UnsafeMutablePointer<Float>? { node.map { address($0) } }

  private func integers(_ node: Node) -> UnsafePointer<Int32> {
    UnsafeRawPointer(address(node)).assumingMemoryBound(to: Int32.self)
  }

  func lower(_ operation: Operation) throws(ComputeError) -> [Instruction] {
    switch operation {
    case .embedding(let op):
      return [
        .embedding(
          mf_embedding(
            rows: rows(op.y), width: width(op.table), vocabulary: rows(op.table), scale: op.scale,
            ids: integers(op.ids), table: address(op.table), y: address(op.y)))
      ]

    case .embeddingGradient(let op):
      let table = op.dTable.node
      return [
        .embeddingGradient(
          mf_embedding_grad(
            rows: rows(op.dy), width: width(table), vocabulary: rows(table), scale: op.scale,
            ids: integers(op.ids), dy: address(op.dy), dtable: address(table), accumulate: false),
          addsAlways: op.dTable.addsAlways)
      ]

    case .norm(let op):
      return [
        .norm(
          mf_norm(
            kind: op.kind.kernel, rows: rows(op.x), width: width(op.x), epsilon: op.epsilon, x: address(op.x),
            weight: address(op.weight), bias: address(op.bias), y: address(op.y), mean: address(op.mean),
            rstd: address(op.rstd)))
      ]

    case .normGradient(let op):
      return [
        .normGradient(
          mf_norm_grad(
            kind: op.kind.kernel, rows: rows(op.x), width: width(op.x), epsilon: op.epsilon, x: address(op.x),
            dy: address(op.dy), addend: address(op.addend), weight: address(op.weight), mean: address(op.mean),
            rstd: address(op.rstd), dx: address(op.dx), dweight: address(op.dWeight?.node),
            dbias: address(op.dBias?.node), accumulate_weight: false, accumulate_bias: false),
          weightAddsAlways: op.dWeight?.addsAlways ?? false, biasAddsAlways: op.dBias?.addsAlways ?? false)
      ]

    case .headNorm(let op):
      return [
        .headNorm(
          mf_head_norm(
            rows: rows(op.x), ld: width(op.x), heads: Int64(op.layout.normalizedHeads),
            query_heads: Int64(op.layout.queryHeads), head_size: Int64(op.layout.headSize), epsilon: op.epsilon,
            x: address(op.x), query_weight: address(op.queryWeight), key_weight: address(op.keyWeight),
            y: address(op.y), rstd: address(op.rstd)))
      ]

    case .headNormGradient(let op):
      return [
        .headNormGradient(
          mf_head_norm_grad(
            rows: rows(op.x), ld: width(op.x), heads: Int64(op.layout.normalizedHeads),
            query_heads: Int64(op.layout.queryHeads), head_size: Int64(op.layout.headSize), epsilon: op.epsilon,
            x: address(op.x), dy: address(op.dy), query_weight: address(op.queryWeight),
            key_weight: address(op.keyWeight), rstd: address(op.rstd), dx: address(op.dx),
            dquery_weight: address(op.dQueryWeight?.node), dkey_weight: address(op.dKeyWeight?.node),
            accumulate: false),
          addsAlways: op.dQueryWeight?.addsAlways ?? false)
      ]

    case .linear(let op):
      return [
        .gemm(
          mf_gemm(
            m: rows(op.x), n: rows(op.weight), k: width(op.weight), a: address(op.x), lda: width(op.x),
            a_transposed: false, b: address(op.weight), ldb: width(op.weight), b_transposed: true,
            c: address(op.y), ldc: width(op.y), c_fp32: false, initial: address(op.residual), ld_initial: width(op.y),
            bias: address(op.bias)))
      ]

    case .linearInputGradient(let op):
      return [
        .gemm(
          mf_gemm(
            m: rows(op.dy), n: width(op.weight), k: rows(op.weight), a: address(op.dy), lda: width(op.dy),
            a_transposed: false, b: address(op.weight), ldb: width(op.weight), b_transposed: false,
            c: address(op.dx), ldc: width(op.dx), c_fp32: false, initial: address(op.addend), ld_initial: width(op.dx),
            bias: nil))
      ]

    case .linearWeightGradient(let op):
      let product = Instruction.gradientGemm(
        mf_gemm(
          m: width(op.dy), n: width(op.x), k: rows(op.x), a: address(op.dy), lda: width(op.dy), a_transposed: true,
          b: address(op.x), ldb: width(op.x), b_transposed: false, c: address(op.dWeight.node), ldc: width(op.x),
          c_fp32: true, initial: nil, ld_initial: width(op.x), bias: nil),
        addsAlways: op.dWeight.addsAlways)
      guard let dBias = op.dBias else { return [product] }
      return [
        product,
        .columnSum(
          rows: rows(op.dy), width: width(op.dy), x: address(op.dy), y: address(dBias.node),
          addsAlways: dBias.addsAlways),
      ]

    case .rotary(let op):
      let table = try rotaryTable(op.frequencies, op.maxPositions)
      return [
        .rotary(
          mf_rotary(
            rows: rows(op.x), ld: width(op.x), heads: Int64(op.layout.normalizedHeads),
            head_size: Int64(op.layout.headSize), positions: integers(op.positions), cosines: table.cosines,
            sines: table.sines, inverse: op.inverse, x: address(op.x), y: address(op.y)))
      ]

    case .attention(let op):
      return [.attention(arguments(op))]

    case .attentionGradient(let op):
      let dqkv = address(op.dqkv)
      let layout = op.forward.layout
      return [
        .attentionGradient(
          mf_attention_grad(
            forward: arguments(op.forward), do_: address(op.dy), ld_do: width(op.dy), dq: dqkv,
            dk: dqkv + layout.queryWidth, dv: dqkv + layout.queryWidth + layout.keyValueWidth,
            ld_dq: width(op.dqkv), ld_dkv: width(op.dqkv)))
      ]

    case .cachedAttention(let op):
      let qkv = address(op.qkv)
      let layout = op.layout
      return [
        .cachedAttention(
          mf_cached_attention(
            batch: Int64(shape(op.qkv)[0]), time: Int64(shape(op.qkv)[1]), heads: Int64(layout.queryHeads),
            kv_heads: Int64(layout.keyValueHeads), head_size: Int64(layout.headSize),
            capacity: Int64(shape(op.keys)[1]), scale: op.scale, positions: integers(op.positions), q: qkv,
            k: qkv + layout.queryWidth, v: qkv + layout.queryWidth + layout.keyValueWidth, ld_q: width(op.qkv),
            ld_kv: width(op.qkv), k_cache: address(op.keys), v_cache: address(op.values), o: address(op.y),
            ld_o: width(op.y)))
      ]

    case .activation(let op):
      return [
        .activation(
          mf_activation(
            kind: op.kind.kernel, gated: op.gated, rows: rows(op.y), width: width(op.y), x: address(op.x),
            y: address(op.y)))
      ]

    case .activationGradient(let op):
      return [
        .activationGradient(
          mf_activation_grad(
            kind: op.kind.kernel, gated: op.gated, rows: rows(op.dy), width: width(op.dy), x: address(op.x),
            dy: address(op.dy), dx: address(op.dx)))
      ]

    case .dropout(let op):
      return [
        .dropout(
          mf_dropout(
            count: Int64(shape(op.x).count), rate: op.rate, seed: 0, site: op.site, micro_step: 0,
            x: address(op.x), y: address(op.y)))
      ]

    case .add(let op):
      return [.add(count: Int64(shape(op.y).count), a: address(op.a), b: address(op.b), y: address(op.y))]

    case .meanPool(let op):
      return [
        .meanPool(
          mf_mean_pool(
            batch: Int64(shape(op.x)[0]), time: Int64(shape(op.x)[1]), width: width(op.x),
            pools: Int64(shape(op.y)[1]), ranges: integers(op.ranges), x: address(op.x), y: address(op.y)))
      ]

    case .meanPoolGradient(let op):
      return [
        .meanPoolGradient(
          mf_mean_pool_grad(
            batch: Int64(shape(op.dx)[0]), time: Int64(shape(op.dx)[1]), width: width(op.dx),
            pools: Int64(shape(op.dy)[1]), ranges: integers(op.ranges), dy: address(op.dy), dx: address(op.dx)))
      ]

    case .logits(let op):
      let product = Instruction.gemm(
        mf_gemm(
          m: rows(op.x), n: rows(op.weight), k: width(op.x), a: address(op.x), lda: width(op.x), a_transposed: false,
          b: address(op.weight), ldb: width(op.weight), b_transposed: true, c: address(op.logits),
          ldc: width(op.logits), c_fp32: true, initial: nil, ld_initial: 0, bias: address(op.bias)))
      guard let cap = op.softcap else { return [product] }
      return [product, .softcap(count: Int64(shape(op.logits).count), cap: cap, x: address(op.logits))]

    case .headLoss(let op):
      let gradients = op.gradients
      return [
        .headLoss(
          mf_head_loss(
            rows: rows(op.x), width: width(op.x), vocabulary: rows(op.weight), softcap: op.softcap ?? 0,
            x: address(op.x), weight: address(op.weight), bias: address(op.bias), targets: integers(op.targets),
            weights: address(op.weights), normalizer: address(op.normalizer), gradient_scale: 1,
            losses: address(op.losses),
            correct: address(op.correct), dx: address(gradients?.dx), dweight: address(gradients?.dWeight.node),
            dbias: address(gradients?.dBias?.node), accumulate_weight: false, accumulate_bias: false,
            workspace: headWorkspace),
          weightAddsAlways: gradients?.dWeight.addsAlways ?? false,
          biasAddsAlways: gradients?.dBias?.addsAlways ?? false)
      ]
    }
  }

  private func arguments(_ op: Attention) -> mf_attention {
    let qkv = address(op.qkv)
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
      dropout: op.dropout, seed: 0, site: op.site, micro_step: 0, mask: mask, ranges: op.mask.ranges.map(integers),
      q: qkv, k: qkv + layout.queryWidth,
      v: qkv + layout.queryWidth + layout.keyValueWidth, ld_q: width(op.qkv), ld_kv: width(op.qkv),
      o: address(op.y), ld_o: width(op.y), lse: address(op.logSumExp))
  }
}

extension Operation {
  /// Bytes of scratch that each worker needs for this operation.
  func scratch(in graph: Graph) -> Int {
    func attention(_ op: Attention, gradient: Bool) -> Int {
      mf_attention_scratch(MF_FP32, Int64(graph.shape(op.qkv)[1]), Int64(op.layout.headSize), gradient)
    }
    switch self {
    case .attention(let op): return attention(op, gradient: false)
    case .attentionGradient(let op): return attention(op.forward, gradient: true)
    case .cachedAttention(let op):
      return mf_attention_scratch(MF_FP32, Int64(graph.shape(op.keys)[1]), Int64(op.layout.headSize), false)
    case .linear, .linearInputGradient, .linearWeightGradient, .logits, .headLoss: return mf_gemm_scratch()
    case .embedding, .embeddingGradient, .norm, .normGradient, .headNorm, .headNormGradient, .rotary, .activation,
      .activationGradient, .dropout, .add, .meanPool, .meanPoolGradient:
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
