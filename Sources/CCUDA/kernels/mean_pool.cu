// Means over ranges of each row's tokens: y_bs = Σ_{t in range bs} x_bt / |range bs|, an empty range gives zeros;
// gradient: dx_bt = Σ_{s with t in range bs} dy_bs / |range bs|.
//
// Shapes: x and dx (B, T, width), ranges (B, S, 2) clipped to 0..<T, y and dy (B, S, width).
// Bound: bytes of x, if the ranges are long.
#include "common.cuh"

struct pool_range {
  int start, end;
  float scale;  // 1/|range|, 0 for an empty one
  MF_DEVICE pool_range(const int32_t *ranges, int64_t index, int time)
      : start(most(0, ranges[2 * index])), end(least(time, ranges[2 * index + 1])),
        scale(end > start ? 1.0f / float(end - start) : 0.0f) {}
};

/// Grid: (⌈width/256⌉, S, B) blocks of 256 threads: eight columns a lane, tokens dealt to the eight warps.
extern "C" __global__ void __launch_bounds__(256) mf_mean_pool(
    int time, int64_t width, const int32_t *ranges, const act *x, act *y) {
  __shared__ float sums[8][256];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.x) * 256 + lane * 8, n = width - column;
  const int64_t index = int64_t(blockIdx.z) * gridDim.y + blockIdx.y;
  const pool_range range(ranges, index, time);
  float total[8] = {};
  for (int t = range.start + warp; t < range.end; t += 8) {
    float v[8];
    load(x + (int64_t(blockIdx.z) * time + t) * width + column, n, v);
#pragma unroll
    for (int i = 0; i < 8; i++) total[i] += v[i];
  }
  sum_to_first_warp(total, sums);
  if (warp != 0) return;
#pragma unroll
  for (int i = 0; i < 8; i++) total[i] *= range.scale;
  store(y + index * width + column, n, total);
}

/// Grid: (⌈width/256⌉, ⌈T/8⌉, B) blocks of 256 threads: eight columns a lane, a token a warp.
extern "C" __global__ void __launch_bounds__(256) mf_mean_pool_gradient(
    int time, int64_t width, int pools, const int32_t *ranges, const act *dy, act *dx) {
  const int t = blockIdx.y * 8 + threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.x) * 256 + threadIdx.x % 32 * 8, n = width - column;
  if (t >= time) return;
  float total[8] = {};
  for (int s = 0; s < pools; s++) {
    const int64_t index = int64_t(blockIdx.z) * pools + s;
    const pool_range range(ranges, index, time);
    if (t < range.start || t >= range.end) continue;
    float v[8];
    load(dy + index * width + column, n, v);
#pragma unroll
    for (int i = 0; i < 8; i++) total[i] = fmaf(v[i], range.scale, total[i]);
  }
  store(dx + (int64_t(blockIdx.z) * time + t) * width + column, n, total);
}
