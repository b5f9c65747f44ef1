// AdamW on all parameters in one launch, and what clips or skips it: no number leaves the device in between.
//   g ← s·g;  w ← w·(1 − ηλ);  m ← m + (1 − β1)(g − m);  v ← β2·v + (1 − β2)·g²
//   w ← w − (η/c1)·m / (√v/√c2 + ε),  c1 = 1 − β1ᵗ, c2 = 1 − β2ᵗ  (PyTorch's order of operations)
//
// The new weights are also left in storage type, for the products of the next step, where that is not fp32.
// m and v may be bf16: rounded by chance, so that their mean is what fp32 would have.
// Loshchilov & Hutter, arXiv:1711.05101, algorithm 2.
#include "common.cuh"
#include "chance.cuh"

/// norm = √(Σ partials) / loss scale; scale = min(1, clip / (norm + 1e-6)) / loss scale, as
/// torch.nn.utils.clip_grad_norm_ has it; skips where the loss or the norm is no number or above its limit.
///
/// Grid: 1 block of 256 threads. Bound: latency.
extern "C" __global__ void __launch_bounds__(256) mf_gradient_state(
    int64_t blocks, const double *partials, const mf_update *update, mf_gradient_state_t *state) {
  __shared__ double sums[256];
  double total = 0;
  for (int64_t i = threadIdx.x; i < blocks; i += 256) total += partials[i];
  total = block_sum<256>(total, sums);
  if (threadIdx.x != 0) return;
  const double loss_scale = update->loss_scale, norm = sqrt(total) / loss_scale, clip = update->clip;
  const double scale = clip > 0 ? least(1.0, clip / (norm + 1e-6)) : 1.0;
  state->norm = norm;
  state->scale = float(scale / loss_scale);
  state->skips = !is_finite(norm) || !is_finite(state->loss) || norm > update->most_norm ||
                 state->loss > update->most_loss;
}

/// Eight elements: weights w with moments m and v, given their gradients.
MF_DEVICE void adamw(const mf_update &update, const mf_segment &segment, float scale, const float (&gradients)[8],
                     float (&w)[8], float (&m)[8], float (&v)[8]) {
  const float step = update.step * segment.rate;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const float g = gradients[i] * scale;
    m[i] = fmaf(g - m[i], update.one_minus_beta1, m[i]);
    v[i] = fmaf(g * update.one_minus_beta2, g, v[i] * update.beta2);
    const float denominator = sqrtf(v[i]) * update.root_scale + update.epsilon;
    w[i] = w[i] * segment.decay - step * (m[i] / denominator);
  }
}

/// `copy` may be NULL. weights, gradients, moments and copy are whole buffers, in which chunks and segments count.
///
/// Grid: a block of 256 threads for each chunk. Bound: bytes (28 per element, 30 with the copy).
extern "C" __global__ void __launch_bounds__(256) mf_adamw(
    const mf_chunk *chunks, const mf_segment *segments, const mf_update *update, const mf_gradient_state_t *state,
    float *weights, float *first_moment, float *second_moment, act *copy, const float *gradients) {
  if (state->skips) return;
  const mf_chunk chunk = chunks[blockIdx.x];
  const mf_segment segment = segments[chunk.segment];
  const float scale = state->scale;
  const mf_update constants = *update;
  for (int i = threadIdx.x * 8; i < chunk.count; i += 2048) {
    const int64_t at = chunk.start + i, n = chunk.count - i;
    float g[8], w[8], m[8], v[8];
    load_floats(gradients + at, n, g);
    load_floats(weights + at, n, w);
    load_floats(first_moment + at, n, m);
    load_floats(second_moment + at, n, v);
    adamw(constants, segment, scale, g, w, m, v);
    store_floats(weights + at, n, w);
    store_floats(first_moment + at, n, m);
    store_floats(second_moment + at, n, v);
    if (copy != nullptr) store(copy + at, n, w);
  }
}

#if MF_STORAGE == 1

/// Moments in bf16. Grid: as mf_adamw. Bound: bytes (22 per element with the copy).
extern "C" __global__ void __launch_bounds__(256) mf_adamw_half_moments(
    const mf_chunk *chunks, const mf_segment *segments, const mf_update *update, const mf_gradient_state_t *state,
    float *weights, act *first_moment, act *second_moment, act *copy, const float *gradients) {
  if (state->skips) return;
  const mf_chunk chunk = chunks[blockIdx.x];
  const mf_segment segment = segments[chunk.segment];
  const float scale = state->scale;
  const mf_update constants = *update;
  for (int i = threadIdx.x * 8; i < chunk.count; i += 2048) {
    const int64_t at = chunk.start + i, n = chunk.count - i;
    float g[8], w[8], m[8], v[8];
    load_floats(gradients + at, n, g);
    load_floats(weights + at, n, w);
    load(first_moment + at, n, m);
    load(second_moment + at, n, v);
    adamw(constants, segment, scale, g, w, m, v);
    store_floats(weights + at, n, w);
    if (copy != nullptr) store(copy + at, n, w);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const uint32_t random = hash(uint32_t(at - segment.start + j) ^ segment.chance);
      m[j] = round_by_chance(m[j], random & 0xffffu);
      v[j] = round_by_chance(v[j], random >> 16);
    }
    store(first_moment + at, n, m);
    store(second_moment + at, n, v);
  }
}

#endif
