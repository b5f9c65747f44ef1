// Operations on flat ranges: y = a + b; fp32 to storage and back; x = cap·tanh(x/cap).
//
// Grid: ⌈count/2048⌉ blocks of 256 threads, eight elements a thread. No shared memory.
// Bound: bytes (of halves add 6 per element, conversions 6, softcap 8).
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
