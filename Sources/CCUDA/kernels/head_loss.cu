// Logits of the head → losses and, in their place, the gradient: between the matrix products of cuBLASLt, which run
// over chunks of rows so that not all logits are held.
//
// z = cap·tanh(logit/cap) (cap 0: the logit); loss = s − (1 − ε)·z_target − ε·mean z + ζ·s², s = log Σ_j e^(z_j);
// dz_j = (softmax_j·(1 + 2ζ·s) − (1 − ε)·[j = target] − ε/vocabulary)·weight/normalizer·loss scale·(1 − (z_j/cap)²)
// Rows of weight 0 get loss 0, correct 0, dz 0; their targets and logits are not looked at.
// Shapes: logits (rows, ld) with `vocabulary` columns in use, fp32 or of storage; targets, weights, losses, correct
// (rows). dz is of storage and row i begins where its logits do: rows of fp32 logits leave dz rows of 2·ld halves. Up to
// the next multiple of 8 columns dz is 0, so that products may take those in.
//
// Grid: `rows` blocks of 512 threads. Bound: bytes (of halves 6 per logit with gradient: the second reading finds most
// in the second-level cache).
// Milakov & Gimelshein, arXiv:1805.02867, for the maximum and the sum in one reading.
#include "common.cuh"

MF_DEVICE float fast_exp(float x) { return fast_exp2(x * 1.4426950408889634f); }

constexpr int HEAD_THREADS = 512;
/// Columns that a block takes at once.
constexpr int64_t ROUND = HEAD_THREADS * 8;

MF_DEVICE float_octet load_logits(const float *p, int64_t n) { return load_float_octet(p, n); }
#if MF_STORAGE != 0
MF_DEVICE octet load_logits(const act *p, int64_t n) { return load_octet(p, n); }
MF_DEVICE float widen(float x) { return x; }
#endif

/// The largest logit, the first column of the eight that it stands in first, its z, Σ e^(z − largest z) and Σ z: of a
/// thread, a warp, the block. Logits are compared before they are capped: the cap makes equals of what is far above it.
struct softmax_state {
  float logit, largest, sum, total;
  int32_t column;
};

/// Order does not matter to the largest and its place; sums are taken in the caller's order.
MF_DEVICE softmax_state merge(const softmax_state &a, const softmax_state &b) {
  const bool first = a.logit > b.logit || (a.logit == b.logit && a.column < b.column);
  const float largest = first ? a.largest : b.largest;
  // Nothing seen yet: e^(−∞ − −∞) is no number.
  const float left = a.largest == -MF_INFINITY ? 0.0f : a.sum * fast_exp(a.largest - largest);
  const float right = b.largest == -MF_INFINITY ? 0.0f : b.sum * fast_exp(b.largest - largest);
  return softmax_state{
      first ? a.logit : b.logit, largest, left + right, a.total + b.total, first ? a.column : b.column};
}

template <bool CAPPED>
MF_DEVICE float capped(float logit, float cap, float inverse) {
  return CAPPED ? cap * tanhf(logit * inverse) : logit;
}

/// Eight logits; −∞ beyond the vocabulary.
template <typename Octet>
MF_DEVICE void unpack_logits(const Octet &octet, int64_t n, float (&v)[8]) {
  unpack(octet, v);
  if (n >= 8) return;
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = i < n ? v[i] : -MF_INFINITY;
}

template <typename Logit, bool CAPPED>
MF_DEVICE void head_row(int64_t vocabulary, int64_t ld, float cap, float smoothing, float z_loss, Logit *logits,
                        const int32_t *targets, const float *weights, const float *normalizer, const mf_run *run,
                        float *losses, float *correct, int gradient) {
  __shared__ softmax_state states[HEAD_THREADS / 32];
  const int64_t row = blockIdx.x;
  Logit *z = logits + row * ld;
  act *dz = reinterpret_cast<act *>(z);
  const float weight = weights[row];
  if (weight == 0.0f) {
    if (threadIdx.x == 0) losses[row] = correct[row] = 0.0f;
    const float zeros[8] = {};
    for (int64_t j = threadIdx.x * 8; gradient && j < vocabulary; j += ROUND) store(dz + j, 8, zeros);
    return;
  }
  const float inverse = CAPPED ? 1.0f / cap : 0.0f;
  softmax_state state = {-MF_INFINITY, -MF_INFINITY, 0.0f, 0.0f, 0};
  // The next eight are on their way while eight are worked on.
  auto ahead = load_logits(z + threadIdx.x * 8, vocabulary - threadIdx.x * 8);
  for (int64_t j = threadIdx.x * 8; j < vocabulary; j += ROUND) {
    float v[8];
    unpack_logits(ahead, vocabulary - j, v);
    ahead = load_logits(z + j + ROUND, vocabulary - j - ROUND);
    // NaN is never the largest, but makes the sum NaN.
    float logit = v[0] == v[0] ? v[0] : -MF_INFINITY;
#pragma unroll
    for (int i = 1; i < 8; i++) logit = v[i] > logit ? v[i] : logit;
    if (logit > state.logit) {
      const float largest = capped<CAPPED>(logit, cap, inverse);
      state.sum *= state.largest == -MF_INFINITY ? 0.0f : fast_exp(state.largest - largest);
      state.logit = logit;
      state.largest = largest;
      state.column = int32_t(j);
    }
    const float shift = state.largest == -MF_INFINITY ? 0.0f : state.largest;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float value = capped<CAPPED>(v[i], cap, inverse);
      if (smoothing > 0) state.total += j + i < vocabulary ? value : 0.0f;
      state.sum += CAPPED && j + i >= vocabulary ? 0.0f : fast_exp(value - shift);
    }
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    softmax_state other;
    other.logit = __shfl_xor_sync(ALL_LANES, state.logit, lanes);
    other.largest = __shfl_xor_sync(ALL_LANES, state.largest, lanes);
    other.sum = __shfl_xor_sync(ALL_LANES, state.sum, lanes);
    other.total = __shfl_xor_sync(ALL_LANES, state.total, lanes);
    other.column = __shfl_xor_sync(ALL_LANES, state.column, lanes);
    // The same order in both lanes, so that all get the same bits.
    state = (threadIdx.x & lanes) == 0 ? merge(state, other) : merge(other, state);
  }
  if (threadIdx.x % 32 == 0) states[threadIdx.x / 32] = state;
  __syncthreads();
  state = states[0];
  for (int warp = 1; warp < HEAD_THREADS / 32; warp++) state = merge(state, states[warp]);

  const int64_t target = targets[row];
  const float target_logit = capped<CAPPED>(widen(z[target]), cap, inverse);
  const float log_of_sum = logf(state.sum), log_sum = log_of_sum + state.largest;
  if (threadIdx.x == 0) {
    int64_t best = state.column;
    while (best + 1 < vocabulary && widen(z[best]) != state.logit) best++;
    losses[row] = log_of_sum + (state.largest - target_logit) +
                  (smoothing > 0 ? smoothing * (target_logit - state.total / float(vocabulary)) : 0.0f) +
                  z_loss * log_sum * log_sum;
    correct[row] = best == target ? 1.0f : 0.0f;
  }
  if (!gradient) return;
  const float share = weight / *normalizer * run->loss_scale;
  const float scale = share / state.sum * (1.0f + 2.0f * z_loss * log_sum);
  const float everywhere = share * smoothing / float(vocabulary), at_target = share * (1.0f - smoothing);
  // All have read the logits that they looked up.
  __syncthreads();
  ahead = load_logits(z + threadIdx.x * 8, vocabulary - threadIdx.x * 8);
  for (int64_t first = 0; first < vocabulary; first += ROUND) {
    const int64_t j = first + threadIdx.x * 8;
    float v[8], d[8];
    unpack_logits(ahead, vocabulary - j, v);
    ahead = load_logits(z + j + ROUND, vocabulary - j - ROUND);
    // dz lies where logits of this round or of rounds before were, a thread's own or, of other sizes, those of others.
    if (sizeof(Logit) != sizeof(act)) __syncthreads();
#pragma unroll
    for (int i = 0; i < 8; i++) {
      v[i] = capped<CAPPED>(v[i], cap, inverse);
      d[i] = fmaf(fast_exp(v[i] - state.largest), scale, -everywhere);
    }
    if (uint64_t(target - j) < 8) {
#pragma unroll
      for (int i = 0; i < 8; i++) d[i] -= j + i == target ? at_target : 0.0f;
    }
    if (CAPPED) {
#pragma unroll
      for (int i = 0; i < 8; i++) d[i] *= 1.0f - (v[i] * inverse) * (v[i] * inverse);
    }
    if (j + 8 > vocabulary) {
#pragma unroll
      for (int i = 0; i < 8; i++) d[i] = j + i < vocabulary ? d[i] : 0.0f;
    }
    if (j < vocabulary) store(dz + j, 8, d);
  }
}

/// Of fp32 logits. gradient 0: only losses and correct; the logits stay.
extern "C" __global__ void __launch_bounds__(HEAD_THREADS) mf_head_loss_fp32(
    int64_t vocabulary, int64_t ld, float cap, float smoothing, float z_loss, float *logits, const int32_t *targets,
    const float *weights, const float *normalizer, const mf_run *run, float *losses, float *correct, int gradient) {
  if (cap > 0)
    head_row<float, true>(
        vocabulary, ld, cap, smoothing, z_loss, logits, targets, weights, normalizer, run, losses, correct, gradient);
  else
    head_row<float, false>(
        vocabulary, ld, cap, smoothing, z_loss, logits, targets, weights, normalizer, run, losses, correct, gradient);
}

#if MF_STORAGE != 0
/// Of logits in storage type.
extern "C" __global__ void __launch_bounds__(HEAD_THREADS) mf_head_loss(
    int64_t vocabulary, int64_t ld, float cap, float smoothing, float z_loss, act *logits, const int32_t *targets,
    const float *weights, const float *normalizer, const mf_run *run, float *losses, float *correct, int gradient) {
  if (cap > 0)
    head_row<act, true>(
        vocabulary, ld, cap, smoothing, z_loss, logits, targets, weights, normalizer, run, losses, correct, gradient);
  else
    head_row<act, false>(
        vocabulary, ld, cap, smoothing, z_loss, logits, targets, weights, normalizer, run, losses, correct, gradient);
}
#endif
