// Operations on flat ranges: y = a + b; fp32 to storage and back; x = cap·tanh(x/cap); and a bias added to rows.
//
// Grid: ⌈count/2048⌉ blocks of 256 threads, eight elements a thread. No shared memory.
// Bound: bytes (of halves add 6 per element, conversions 6, softcap 8, bias 4).
#include "common.cuh"

/// y may be a or b.
extern "C" __global__ void __launch_bounds__(256) mf_add(int64_t count, const act *a, const act *b, act *y) {
  const int64_t i = flat_start(), n = count - i;
  float left[8], right[8];
  load(a + i, n, left);
  load(b + i, n, right);
#pragma unroll
  for (int j = 0; j < 8; j++) left[j] += right[j];
  store(y + i, n, left);
}

extern "C" __global__ void __launch_bounds__(256) mf_narrow(int64_t count, const float *x, act *y) {
  const int64_t i = flat_start(), n = count - i;
  float v[8];
  load_floats(x + i, n, v);
  store(y + i, n, v);
}

extern "C" __global__ void __launch_bounds__(256) mf_widen(int64_t count, const act *x, float *y) {
  const int64_t i = flat_start(), n = count - i;
  float v[8];
  load(x + i, n, v);
  store_floats(y + i, n, v);
}

/// Of logits, in place.
extern "C" __global__ void __launch_bounds__(256) mf_softcap(int64_t count, float cap, float *x) {
  const int64_t i = flat_start(), n = count - i;
  const float inverse = 1.0f / cap;
  float v[8];
  load_floats(x + i, n, v);
#pragma unroll
  for (int j = 0; j < 8; j++) v[j] = cap * tanhf(v[j] * inverse);
  store_floats(x + i, n, v);
}

/// y[r, j] += bias[j], where a matrix product could not. y: rows `ld` apart.
///
/// Grid: (rows, ⌈width/2048⌉) blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256) mf_add_bias(int64_t width, int64_t ld, const float *bias, act *y) {
  const int64_t j = int64_t(blockIdx.y) * 2048 + threadIdx.x * 8, n = width - j;
  act *own = y + blockIdx.x * ld + j;
  float v[8], b[8];
  load(own, n, v);
  load_floats(bias + j, n, b);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] += b[i];
  store(own, n, v);
}
