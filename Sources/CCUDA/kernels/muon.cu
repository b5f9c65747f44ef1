// Muon on matrices, beside their products, which cuBLASLt does:
//   g ← s·g;  m ← μm + (1 − μ)g;  u = μm + (1 − μ)g;  X ← u / (margin·‖u‖)
//   for each polynomial (a, b, c): A = X·Xᵀ (of tall matrices Xᵀ·X);  B = bA + cA·A;  X ← aX + B·X (X·B)
//   w ← w·(1 − ηλ) − η·√max(1, rows/columns)·X
//
// X is of storage. The new weights are also left in storage type where that is not fp32; m may be bf16, rounded by chance.
// The norm must be known before X is written: u is computed twice, which moves fewer bytes than to keep it.
//
// All kernels: a block of 256 threads for each chunk, whose `segment` is its matrix. weights, gradients, momentum and copy
// are whole buffers, in which chunks and matrices count.
// Jordan et al., "Muon", 2024; Amsel et al., arXiv:2505.16932, for the polynomials.
#include "common.cuh"
#include "chance.cuh"

MF_DEVICE void load_momentum(const float *m, int64_t n, float (&v)[8]) { load_floats(m, n, v); }

/// Eight elements of a whole buffer from `at` on.
MF_DEVICE void store_momentum(float *m, int64_t at, int64_t n, uint32_t, const float (&v)[8]) {
  store_floats(m + at, n, v);
}

#if MF_STORAGE == 1

MF_DEVICE void load_momentum(const act *m, int64_t n, float (&v)[8]) { load(m, n, v); }

MF_DEVICE void store_momentum(act *m, int64_t at, int64_t n, uint32_t chance, const float (&v)[8]) {
  float rounded[8];
#pragma unroll
  for (int i = 0; i < 8; i++) rounded[i] = round_by_chance(v[i], hash(uint32_t(at + i) ^ chance) & 0xffffu);
  store(m + at, n, rounded);
}

#endif

/// Eight elements: the momentum after this gradient, and what is to be made orthogonal.
template <typename Moment>
MF_DEVICE void nesterov(float keep, float scale, const float *gradients, const Moment *momentum, int64_t n,
                        float (&m)[8], float (&u)[8]) {
  float g[8];
  load_floats(gradients, n, g);
  load_momentum(momentum, n, m);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const float added = g[i] * scale;
    m[i] = fmaf(m[i], keep, added);
    u[i] = fmaf(m[i], keep, added);
  }
}

// MARK: Norms

template <typename Moment>
MF_DEVICE void squares(const mf_chunk &chunk, const mf_muon_update &update, float gradient_scale,
                       const Moment *momentum, const float *gradients, double *partial) {
  __shared__ double sums[256];
  const float keep = update.momentum, scale = gradient_scale * (1.0f - keep);
  double total = 0;
  for (int i = threadIdx.x * 8; i < chunk.count; i += 2048) {
    const int64_t at = chunk.start + i;
    float m[8], u[8];
    nesterov(keep, scale, gradients + at, momentum + at, chunk.count - i, m, u);
    total += double(fmaf(u[0], u[0], u[1] * u[1]) + fmaf(u[2], u[2], u[3] * u[3]));
    total += double(fmaf(u[4], u[4], u[5] * u[5]) + fmaf(u[6], u[6], u[7] * u[7]));
  }
  total = block_sum<256>(total, sums);
  if (threadIdx.x == 0) *partial = total;
}

/// partials[chunk] = Σ u². fp32 over four elements, fp64 above. Bound: bytes (8 per element).
extern "C" __global__ void __launch_bounds__(256) mf_muon_squares(
    const mf_chunk *chunks, const mf_muon_update *update, const mf_gradient_state_t *state, const float *momentum,
    const float *gradients, double *partials) {
  if (!state->skips) squares(chunks[blockIdx.x], *update, state->scale, momentum, gradients, partials + blockIdx.x);
}

#if MF_STORAGE == 1

/// Momentum in bf16. Bound: bytes (6 per element).
extern "C" __global__ void __launch_bounds__(256) mf_muon_squares_half_moments(
    const mf_chunk *chunks, const mf_muon_update *update, const mf_gradient_state_t *state, const act *momentum,
    const float *gradients, double *partials) {
  if (!state->skips) squares(chunks[blockIdx.x], *update, state->scale, momentum, gradients, partials + blockIdx.x);
}

#endif

// MARK: Momentum

/// What u is multiplied by, of the partial sums of all chunks of its matrix, in one order; in all threads.
MF_DEVICE float norm_factor(const mf_muon_matrix &matrix, float margin, const double *partials) {
  __shared__ double sums[256];
  __shared__ float factor;
  double total = 0;
  for (int i = threadIdx.x; i < matrix.chunk_count; i += 256) total += partials[matrix.first_chunk + i];
  total = block_sum<256>(total, sums);
  if (threadIdx.x == 0) factor = 1.0f / (margin * float(sqrt(total)) + 1e-7f);
  __syncthreads();
  return factor;
}

template <typename Moment>
MF_DEVICE void momentum_step(const mf_chunk &chunk, const mf_muon_matrix &matrix, const mf_muon_update &update,
                             float gradient_scale, const double *partials, Moment *momentum, const float *gradients,
                             act *x) {
  const float by = norm_factor(matrix, update.norm_margin, partials);
  const float keep = update.momentum, scale = gradient_scale * (1.0f - keep);
  for (int i = threadIdx.x * 8; i < chunk.count; i += 2048) {
    const int64_t at = chunk.start + i, n = chunk.count - i;
    float m[8], u[8];
    nesterov(keep, scale, gradients + at, momentum + at, n, m, u);
    store_momentum(momentum, at, n, update.chance, m);
#pragma unroll
    for (int j = 0; j < 8; j++) u[j] *= by;
    store(x + (matrix.place + at - matrix.start), n, u);
  }
}

/// Leaves the momentum, and X from each matrix' place on. `partials`: of the chunks of all matrices. Bound: bytes (14 per
/// element in halves).
extern "C" __global__ void __launch_bounds__(256) mf_muon_momentum(
    const mf_chunk *chunks, const mf_muon_matrix *matrices, const mf_muon_update *update,
    const mf_gradient_state_t *state, const double *partials, float *momentum, const float *gradients, act *x) {
  if (state->skips) return;
  const mf_chunk chunk = chunks[blockIdx.x];
  momentum_step(chunk, matrices[chunk.segment], *update, state->scale, partials, momentum, gradients, x);
}

#if MF_STORAGE == 1

/// Momentum in bf16. Bound: bytes (10 per element).
extern "C" __global__ void __launch_bounds__(256) mf_muon_momentum_half_moments(
    const mf_chunk *chunks, const mf_muon_matrix *matrices, const mf_muon_update *update,
    const mf_gradient_state_t *state, const double *partials, act *momentum, const float *gradients, act *x) {
  if (state->skips) return;
  const mf_chunk chunk = chunks[blockIdx.x];
  momentum_step(chunk, matrices[chunk.segment], *update, state->scale, partials, momentum, gradients, x);
}

#endif

// MARK: Weights

/// `copy` may be NULL. Bound: bytes (12 per element in halves).
extern "C" __global__ void __launch_bounds__(256) mf_muon_weights(
    const mf_chunk *chunks, const mf_muon_matrix *matrices, const mf_muon_update *update,
    const mf_gradient_state_t *state, const act *x, float *weights, act *copy) {
  if (state->skips) return;
  const mf_chunk chunk = chunks[blockIdx.x];
  const mf_muon_matrix matrix = matrices[chunk.segment];
  const float decay = update->decay, step = update->learning_rate * matrix.stretch;
  for (int i = threadIdx.x * 8; i < chunk.count; i += 2048) {
    const int64_t at = chunk.start + i, n = chunk.count - i;
    float v[8], w[8];
    load(x + (matrix.place + at - matrix.start), n, v);
    load_floats(weights + at, n, w);
#pragma unroll
    for (int j = 0; j < 8; j++) w[j] = w[j] * decay - step * v[j];
    store_floats(weights + at, n, w);
    if (copy != nullptr) store(copy + at, n, w);
  }
}
