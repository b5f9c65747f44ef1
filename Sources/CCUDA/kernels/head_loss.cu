// Logits of the head → losses and, in their place, the gradient: between the matrix products of cuBLASLt, which run
// over chunks of rows so that not all logits are held.
//
// z = cap·tanh(logit/cap) (cap 0: the logit); loss = s − (1 − ε)·z_target − ε·mean z + ζ·s², s = log Σ_j e^(z_j);
// dz_j = (softmax_j·(1 + 2ζ·s) − (1 − ε)·[j = target] − ε/vocabulary)·weight/normalizer·loss scale·(1 − (z_j/cap)²)
// Rows of weight 0 get loss 0, correct 0, dz 0; their targets and logits are not looked at.
// Shapes: logits (rows, ld) with `vocabulary` columns in use, fp32 or of storage; targets, weights, losses, correct
// (rows). dz is of storage and row i begins where its logits do: rows of fp32 logits leave dz rows of 2·ld halves.
//
// Grid: `rows` blocks of 512 threads. Bound: bytes (of halves 6 per logit with gradient: the second reading finds most
// in the second-level cache).
// Milakov & Gimelshein, arXiv:1805.02867, for the maximum and the sum in one reading.
#include "common.cuh"

constexpr int HEAD_THREADS = 512;

MF_DEVICE void load_logits(const float *p, int64_t n, float (&v)[8]) { load_floats(p, n, v); }
#if MF_STORAGE != 0
MF_DEVICE void load_logits(const act *p, int64_t n, float (&v)[8]) { load(p, n, v); }
MF_DEVICE float widen(float x) { return x; }
#endif

/// The largest logit, where it stands first, its z, Σ e^(z − largest z) and Σ z: of a thread, a warp, the block. Logits are
/// compared before they are capped: the cap makes equals of what is far above it.
struct softmax_state {
  float logit, largest, sum, total;
  int32_t index;
};

/// Order does not matter to the largest and its place; sums are taken in the caller's order.
MF_DEVICE softmax_state merge(const softmax_state &a, const softmax_state &b) {
  const bool first = a.logit > b.logit || (a.logit == b.logit && a.index < b.index);
  const float largest = first ? a.largest : b.largest;
  // Nothing seen yet: e^(−∞ − −∞) is no number.
  const float left = a.largest == -MF_INFINITY ? 0.0f : a.sum * expf(a.largest - largest);
  const float right = b.largest == -MF_INFINITY ? 0.0f : b.sum * expf(b.largest - largest);
  return softmax_state{
      first ? a.logit : b.logit, largest, left + right, a.total + b.total, first ? a.index : b.index};
}

template <bool CAPPED>
MF_DEVICE float capped(float logit, float cap, float inverse) {
  return CAPPED ? cap * tanhf(logit * inverse) : logit;
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
    for (int64_t j = threadIdx.x * 8; gradient && j < vocabulary; j += HEAD_THREADS * 8)
      store(dz + j, vocabulary - j, zeros);
    return;
  }
  const float inverse = CAPPED ? 1.0f / cap : 0.0f;
  softmax_state state = {-MF_INFINITY, -MF_INFINITY, 0.0f, 0.0f, 0};
  for (int64_t j = threadIdx.x * 8; j < vocabulary; j += HEAD_THREADS * 8) {
    float v[8];
    load_logits(z + j, vocabulary - j, v);
    float logit = -MF_INFINITY, largest = -MF_INFINITY, sum = 0.0f, total = 0.0f;
    int index = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float value = v[i];
      v[i] = j + i < vocabulary ? capped<CAPPED>(value, cap, inverse) : -MF_INFINITY;
      total += j + i < vocabulary ? v[i] : 0.0f;
      // NaN is never the largest, but makes the sum NaN.
      if (j + i < vocabulary && value > logit) {
        logit = value;
        largest = v[i];
        index = i;
      }
    }
    const float shift = largest == -MF_INFINITY ? 0.0f : largest;
#pragma unroll
    for (int i = 0; i < 8; i++) sum += expf(v[i] - shift);
    state = merge(state, softmax_state{logit, largest, sum, total, int32_t(j + index)});
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    softmax_state other;
    other.logit = __shfl_xor_sync(ALL_LANES, state.logit, lanes);
    other.largest = __shfl_xor_sync(ALL_LANES, state.largest, lanes);
    other.sum = __shfl_xor_sync(ALL_LANES, state.sum, lanes);
    other.total = __shfl_xor_sync(ALL_LANES, state.total, lanes);
    other.index = __shfl_xor_sync(ALL_LANES, state.index, lanes);
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
    losses[row] = log_of_sum + (state.largest - target_logit) +
                  (smoothing > 0 ? smoothing * (target_logit - state.total / float(vocabulary)) : 0.0f) +
                  z_loss * log_sum * log_sum;
    correct[row] = state.index == target ? 1.0f : 0.0f;
  }
  if (!gradient) return;
  const float share = weight / *normalizer * run->loss_scale;
  const float scale = share / state.sum * (1.0f + 2.0f * z_loss * log_sum);
  const float everywhere = share * smoothing / float(vocabulary), at_target = share * (1.0f - smoothing);
  for (int64_t first = 0; first < vocabulary; first += HEAD_THREADS * 8) {
    const int64_t j = first + threadIdx.x * 8;
    float v[8];
    load_logits(z + j, vocabulary - j, v);
    // dz lies where logits of this round or of rounds before were: all have been read.
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float value = capped<CAPPED>(v[i], cap, inverse);
      v[i] = expf(value - state.largest) * scale - everywhere - (j + i == target ? at_target : 0.0f);
      if (CAPPED) v[i] *= 1.0f - (value * inverse) * (value * inverse);
    }
    store(dz + j, vocabulary - j, v);
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
