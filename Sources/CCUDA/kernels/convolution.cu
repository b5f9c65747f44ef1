// Depthwise convolution with the tokens before: y_t = x_t + Σ_j w_j·x_{t−j}, j in 1...taps; gradients:
// dx_t = dy_t + Σ_j w_j·dy_{t+j}, dw_j = Σ_t dy_t·x_{t−j}.
//
// A token at position p of its text sees min(taps, p) before it: those of its row, or from the cache.
// Shapes: x, y, dy, dx (B·T, width), w (taps, width), cache (B, capacity, width). Bound: bytes.
#include "common.cuh"

/// How many tokens before it row r sees in its own row.
MF_DEVICE int reach_of(const int32_t *positions, int64_t r, int time, int taps) {
  return least(taps, least(int(r % time), int(positions[r])));
}

/// y_r, eight columns of it, of which x is given.
MF_DEVICE void convolve(
    int64_t n, int64_t width, int near, int reach, const act *x, const float *weight, const float *cached,
    float (&v)[8]) {
  for (int j = 1; j <= reach; j++) {
    float before[8], w[8];
    if (j <= near) load(x - j * width, n, before);
    else load_floats(cached - j * width, n, before);
    load_floats(weight + (j - 1) * width, n, w);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = fmaf(w[i], before[i], v[i]);
  }
}

/// Grid: (⌈width/256⌉, ⌈rows/8⌉) blocks of 256 threads: eight columns a lane, a row a warp.
extern "C" __global__ void __launch_bounds__(256) mf_convolution(
    int64_t rows, int time, int64_t width, int taps, int64_t capacity, const act *x, const float *weight,
    const int32_t *positions, float *cache, act *y) {
  const int64_t r = int64_t(blockIdx.y) * 8 + threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.x) * 256 + threadIdx.x % 32 * 8, n = width - column;
  if (r >= rows || n <= 0) return;
  int reach = reach_of(positions, r, time, taps);
  float *cached = nullptr;
  if (cache != nullptr) {
    cached = cache + (r / time * capacity + positions[r]) * width + column;
    reach = least(taps, int(positions[r]));
  }
  float v[8];
  load(x + r * width + column, n, v);
  if (cached != nullptr) store_floats(cached, n, v);
  convolve(n, width, int(r % time), reach, x + r * width + column, weight + column, cached, v);
  store(y + r * width + column, n, v);
}

/// dx, and y once more unless it is NULL. Grid and blocks as above.
extern "C" __global__ void __launch_bounds__(256) mf_convolution_gradient(
    int64_t rows, int time, int64_t width, int taps, const act *x, const float *weight, const int32_t *positions,
    const act *dy, act *dx, act *y) {
  const int64_t r = int64_t(blockIdx.y) * 8 + threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.x) * 256 + threadIdx.x % 32 * 8, n = width - column;
  if (r >= rows || n <= 0) return;
  const int64_t at = r * width + column;
  float v[8];
  load(dy + at, n, v);
  const int ahead = least(taps, time - 1 - int(r % time));
  for (int j = 1; j <= ahead; j++) {
    if (positions[r + j] < j) continue;
    float behind[8], w[8];
    load(dy + at + j * width, n, behind);
    load_floats(weight + (j - 1) * width + column, n, w);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = fmaf(w[i], behind[i], v[i]);
  }
  store(dx + at, n, v);
  if (y == nullptr) return;
  const int reach = reach_of(positions, r, time, taps);
  load(x + at, n, v);
  convolve(n, width, reach, reach, x + at, weight + column, nullptr, v);
  store(y + at, n, v);
}

/// partials[b, j] = Σ of dy_t·x_{t−j} over 256 rows from 256b on. partials (⌈rows/256⌉, taps, width).
///
/// Grid: (⌈width/256⌉, ⌈rows/256⌉, taps) blocks of 256 threads: eight columns a lane, rows dealt to the eight warps.
extern "C" __global__ void __launch_bounds__(256) mf_convolution_weight_gradient(
    int64_t rows, int time, int64_t width, int taps, const act *x, const int32_t *positions, const act *dy,
    float *partials) {
  __shared__ float sums[8][256];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, j = blockIdx.z + 1;
  const int64_t column = int64_t(blockIdx.x) * 256 + lane * 8, n = width - column;
  const int64_t start = int64_t(blockIdx.y) * 256, end = least(rows, start + 256);
  float total[8] = {};
  for (int64_t r = start + warp; r < end; r += 8) {
    if (reach_of(positions, r, time, taps) < j) continue;
    float g[8], before[8];
    load(dy + r * width + column, n, g);
    load(x + (r - j) * width + column, n, before);
#pragma unroll
    for (int i = 0; i < 8; i++) total[i] = fmaf(g[i], before[i], total[i]);
  }
  sum_to_first_warp(total, sums);
  if (warp != 0) return;
  store_floats(partials + (int64_t(blockIdx.y) * taps + j - 1) * width + column, n, total);
}
