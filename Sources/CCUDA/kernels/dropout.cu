// Dropout: y = x ⊙ mask/(1 − rate), the mask a function of (seed, site, micro-step, element) alone; its own gradient.
//
// Element i uses word i mod 4 of Philox4x32-10 at counter (i/4, i/4 >> 32, site, micro_step), key = seed.
// Bound: FLOPs (20 widening multiplications per 4 elements), nearly bytes.
#include "common.cuh"
#include "philox.cuh"

/// y may be x.
///
/// Grid: ⌈count/2048⌉ blocks of 256 threads, eight elements a thread.
extern "C" __global__ void __launch_bounds__(256) mf_dropout(
    int64_t count, float rate, uint32_t site, const mf_run *run, const act *x, act *y) {
  const int64_t i = flat_start(), n = count - i;
  if (n <= 0) return;
  const uint32_t threshold = dropout_threshold(rate);
  const float scale = 1.0f / (1.0f - rate);
  float v[8];
  load(x + i, n, v);
#pragma unroll
  for (int part = 0; part < 2; part++) {
    const uint64_t counter = uint64_t(i) / 4 + part;
    const philox_words words = philox(uint32_t(counter), uint32_t(counter >> 32), site, run->micro_step, run->seed);
#pragma unroll
    for (int j = 0; j < 4; j++) v[4 * part + j] = words.word[j] >= threshold ? v[4 * part + j] * scale : 0.0f;
  }
  store(y + i, n, v);
}
