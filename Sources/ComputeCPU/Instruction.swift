internal import CKernels
import Compute

/// A kernel call with everything bound but what changes from run to run.
enum Instruction {
  case gemm(mf_gemm)
  case gradientGemm(mf_gemm, weightAddsAlways: Bool, biasAddsAlways: Bool)
  case norm(mf_norm)
  case normGradient(mf_norm_grad, weightAddsAlways: Bool, biasAddsAlways: Bool)
  case headNorm(mf_head_norm)
  case headNormGradient(mf_head_norm_grad, addsAlways: Bool)
  case rotary(mf_rotary)
  case attention(mf_attention)
  case attentionGradient(mf_attention_grad)
  case cachedAttention(mf_cached_attention)
  case activation(mf_activation)
  case activationGradient(mf_activation_grad)
  case dropout(mf_dropout)
  case embedding(mf_embedding)
  case embeddingGradient(mf_embedding_grad, addsAlways: Bool)
  case convolution(mf_convolution)
  case convolutionGradient(mf_convolution_grad, addsAlways: Bool)
  case meanPool(mf_mean_pool)
  case meanPoolGradient(mf_mean_pool_grad)
  case headLoss(mf_head_loss, weightAddsAlways: Bool, biasAddsAlways: Bool)
  case add(count: Int64, a: UnsafeRawPointer, b: UnsafeRawPointer, y: UnsafeMutableRawPointer)
  case softcap(count: Int64, cap: Float, x: UnsafeMutablePointer<Float>)
}

extension Instruction {
  /// Calls the kernel.
  func run(_ context: RunContext, _ kernels: borrowing mf_kernels, _ pool: OpaquePointer) {
    switch self {
    case .gemm(var call): kernels.gemm(pool, &call)
    case .gradientGemm(var call, let weightAddsAlways, let biasAddsAlways):
      if weightAddsAlways || context.accumulates { call.initial = UnsafeRawPointer(call.c) }
      call.accumulate_a_sums = biasAddsAlways || context.accumulates
      kernels.gemm(pool, &call)
    case .norm(var call): kernels.norm(pool, &call)
    case .normGradient(var call, let weightAddsAlways, let biasAddsAlways):
      call.accumulate_weight = weightAddsAlways || context.accumulates
      call.accumulate_bias = biasAddsAlways || context.accumulates
      kernels.norm_grad(pool, &call)
    case .headNorm(var call): kernels.head_norm(pool, &call)
    case .headNormGradient(var call, let addsAlways):
      call.accumulate = addsAlways || context.accumulates
      kernels.head_norm_grad(pool, &call)
    case .rotary(var call): kernels.rotary(pool, &call)
    case .attention(var call):
      call.seed = context.seed
      call.micro_step = context.microStep
      kernels.attention(pool, &call)
    case .attentionGradient(var call):
      call.forward.seed = context.seed
      call.forward.micro_step = context.microStep
      kernels.attention_grad(pool, &call)
    case .cachedAttention(var call): kernels.cached_attention(pool, &call)
    case .activation(var call): kernels.activation(pool, &call)
    case .activationGradient(var call): kernels.activation_grad(pool, &call)
    case .dropout(var call):
      call.seed = context.seed
      call.micro_step = context.microStep
      kernels.dropout(pool, &call)
    case .embedding(var call): kernels.embedding(pool, &call)
    case .embeddingGradient(var call, let addsAlways):
      call.accumulate = addsAlways || context.accumulates
      kernels.embedding_grad(pool, &call)
    case .convolution(var call): kernels.convolution(pool, &call)
    case .convolutionGradient(var call, let addsAlways):
      call.accumulate = addsAlways || context.accumulates
      kernels.convolution_grad(pool, &call)
    case .meanPool(var call): kernels.mean_pool(pool, &call)
    case .meanPoolGradient(var call): kernels.mean_pool_grad(pool, &call)
    case .headLoss(var call, let weightAddsAlways, let biasAddsAlways):
      call.accumulate_weight = weightAddsAlways || context.accumulates
      call.accumulate_bias = biasAddsAlways || context.accumulates
      call.gradient_scale = context.lossScale
      kernels.head_loss(pool, &call)
    case .add(let count, let a, let b, let y): kernels.add(pool, count, a, b, y)
    case .softcap(let count, let cap, let x): kernels.softcap(pool, count, cap, x)
    }
  }
}
