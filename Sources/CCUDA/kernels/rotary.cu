// Rotary positions, "rotate half" layout: (x1, x2) → (x1·cos − x2·sin, x2·cos + x1·sin), x1 and x2 a head's two halves.
// `inverse` negates the sines. The gradient is the inverse rotation of dy.
//
// Shapes: x, y (rows, ld), heads 0..<heads rotated, columns behind them copied; positions (rows); tables (…, D/2).
// Bound: bytes (of halves 4 per element). Su et al., "RoFormer", arXiv:2104.09864.
#include "common.cuh"

/// y may be x.
///
/// Grid: `rows` blocks of 128 threads, each of which turns eight pairs at a time.
extern "C" __global__ void __launch_bounds__(128) mf_rotary(
    int64_t ld, int heads, int head_size, const int32_t *positions, const float *cosines, const float *sines,
    int inverse, const act *x, act *y) {
  const int half = head_size / 2, chunks = (half + 7) / 8;
  const int64_t row = blockIdx.x, angle = int64_t(positions[row]) * half;
  for (int item = threadIdx.x; item < heads * chunks; item += 128) {
    const int head = item / chunks, pair = item % chunks * 8, n = half - pair;
    const int64_t at = row * ld + int64_t(head) * head_size + pair;
    float x1[8], x2[8], c[8], s[8];
    load(x + at, n, x1);
    load(x + at + half, n, x2);
    load_floats(cosines + angle + pair, n, c);
    load_floats(sines + angle + pair, n, s);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float sine = inverse ? -s[i] : s[i], first = x1[i], second = x2[i];
      x1[i] = first * c[i] - second * sine;
      x2[i] = second * c[i] + first * sine;
    }
    store(y + at, n, x1);
    store(y + at + half, n, x2);
  }
  if (x == y) return;
  for (int64_t j = int64_t(heads) * head_size + threadIdx.x * 8; j < ld; j += 1024) {
    float v[8];
    load(x + row * ld + j, ld - j, v);
    store(y + row * ld + j, ld - j, v);
  }
}
