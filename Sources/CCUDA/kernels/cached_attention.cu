// Attention of new queries against a key/value cache (generation).
//
// New keys and values are appended at their positions (mf_cache_append); query t of sequence b then sees cache
// positions 0...positions[b·T + t].
// Shapes: q, k, v, o rows b·T + t, heads at columns h·D; caches (B, capacity, K·D) in fp32. D up to 256.
//
// The keys are cut into splits of `split` positions, each for a block of its own, so that few queries fill the machine;
// the host takes one split where there are many queries. Partial results are put together by mf_cached_attention_merge.
// Bound: bytes of the cache when decoding.
#include "common.cuh"

/// Grid: (B·T, ⌈K·D/256⌉) blocks of 32 threads, eight columns a thread.
extern "C" __global__ void __launch_bounds__(32) mf_cache_append(
    int time, int64_t width, int64_t capacity, const int32_t *positions, const act *k, const act *v, int64_t ld_kv,
    float *k_cache, float *v_cache) {
  const int64_t row = blockIdx.x, column = int64_t(blockIdx.y) * 256 + threadIdx.x * 8, n = width - column;
  const int64_t to = (row / time * capacity + positions[row]) * width + column;
  float x[8];
  load(k + row * ld_kv + column, n, x);
  store_floats(k_cache + to, n, x);
  load(v + row * ld_kv + column, n, x);
  store_floats(v_cache + to, n, x);
}

/// Keys whose scores a block holds at once, and its threads.
constexpr int CACHE_TILE = 128, CACHE_THREADS = 128;

/// o, if there is one split; else partials (B·T, H, splits, D + 2): Σ e^(s − largest)·v, the largest score and
/// Σ e^(s − largest).
///
/// Grid: (B·T, H, ⌈capacity/split⌉) blocks of 128 threads. split: a multiple of 128.
extern "C" __global__ void __launch_bounds__(CACHE_THREADS) mf_cached_attention(
    int time, int kv_heads, int head_size, int64_t capacity, int64_t split, float scale, const int32_t *positions,
    const act *q, int64_t ld_q, const float *k_cache, const float *v_cache, act *o, int64_t ld_o, float *partials) {
  __shared__ float query[256], scores[CACHE_TILE], room[4], sums[CACHE_THREADS * 2];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int heads = gridDim.y, head = blockIdx.y, kv = head / (heads / kv_heads);
  const int64_t row = blockIdx.x, b = row / time, width = int64_t(kv_heads) * head_size;
  const int64_t keys = positions[row] + 1, begin = blockIdx.z * split, end = least(keys, begin + split);
  if (begin >= keys) return;
  const int64_t head_at = b * capacity * width + kv * head_size;
  const float *k = k_cache + head_at, *v = v_cache + head_at;
  for (int d = threadIdx.x; d < 256; d += CACHE_THREADS)
    query[d] = d < head_size ? widen(q[row * ld_q + head * head_size + d]) * scale : 0.0f;

  // A key is shared by as many lanes as have eight elements each; afterwards an element is shared by several threads.
  int lanes = 1, sharers = 1;
  while (lanes * 8 < head_size) lanes *= 2;
  while (sharers * 2 * head_size <= CACHE_THREADS) sharers *= 2;
  const int groups = 32 / lanes, column = lane % lanes * 8, n = head_size - column;
  const int part = threadIdx.x / head_size, element = threadIdx.x % head_size;
  float largest = -MF_INFINITY, sum = 0.0f, output[2] = {};
  for (int64_t origin = begin; origin < end; origin += CACHE_TILE) {
    __syncthreads();
    for (int j = warp * groups; j < CACHE_TILE; j += 4 * groups) {
      const int64_t key = origin + j + lane / lanes;
      float x[8], dot = 0.0f;
      load_floats(k + key * width + column, key < end ? n : 0, x);
#pragma unroll
      for (int i = 0; i < 8; i++) dot = fmaf(x[i], query[column + i], dot);
      for (int distance = lanes / 2; distance > 0; distance /= 2) dot += __shfl_xor_sync(ALL_LANES, dot, distance);
      if (column == 0) scores[j + lane / lanes] = key < end ? dot : -MF_INFINITY;
    }
    __syncthreads();
    const float score = scores[threadIdx.x], tile_largest = warp_max(score);
    if (lane == 0) room[warp] = tile_largest;
    __syncthreads();
    const float now = most(largest, most(most(room[0], room[1]), most(room[2], room[3])));
    // Only −∞ or NaN scores: nothing can be subtracted.
    const float shift = now == -MF_INFINITY ? 0.0f : now, decay = expf(largest - shift);
    const float p = origin + threadIdx.x < end ? expf(score - shift) : 0.0f;
    scores[threadIdx.x] = p;
    sum = sum * decay + block_sum<4>(p, room);
    largest = now;
    // block_sum's barriers stand between the scores' writing and this.
    const int tile = int(least<int64_t>(CACHE_TILE, end - origin));
    if (head_size <= CACHE_THREADS) {
      output[0] *= decay;
      if (part < sharers)
        for (int j = part; j < tile; j += sharers)
          output[0] = fmaf(scores[j], v[(origin + j) * width + element], output[0]);
    } else {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const int d = threadIdx.x + i * CACHE_THREADS;
        output[i] *= decay;
        for (int j = 0; d < head_size && j < tile; j++)
          output[i] = fmaf(scores[j], v[(origin + j) * width + d], output[i]);
      }
    }
  }
  sums[threadIdx.x] = output[0];
  sums[CACHE_THREADS + threadIdx.x] = output[1];
  __syncthreads();
  const bool is_whole = gridDim.z == 1;
  float *partial = partials + ((row * heads + head) * gridDim.z + blockIdx.z) * (head_size + 2);
  for (int d = threadIdx.x; d < head_size; d += CACHE_THREADS) {
    float total = sums[d];
    if (head_size <= CACHE_THREADS)
      for (int i = 1; i < sharers; i++) total += sums[i * head_size + d];
    if (is_whole) o[row * ld_o + head * head_size + d] = narrow(total / sum);
    else partial[d] = total;
  }
  if (is_whole || threadIdx.x != 0) return;
  partial[head_size] = largest;
  partial[head_size + 1] = sum;
}

/// Grid: (B·T, H) blocks of 128 threads; `splits`: blocks of mf_cached_attention along z.
extern "C" __global__ void __launch_bounds__(CACHE_THREADS) mf_cached_attention_merge(
    int head_size, int splits, int64_t split, const int32_t *positions, const float *partials, act *o, int64_t ld_o) {
  const int head = blockIdx.y;
  const int64_t row = blockIdx.x, ld = head_size + 2;
  const int used = int(least<int64_t>(splits, positions[row] / split + 1));
  const float *partial = partials + (row * gridDim.y + head) * splits * ld;
  float largest = -MF_INFINITY, sum = 0.0f;
  for (int s = 0; s < used; s++) largest = most(largest, partial[s * ld + head_size]);
  const float shift = largest == -MF_INFINITY ? 0.0f : largest;
  for (int s = 0; s < used; s++)
    sum = fmaf(partial[s * ld + head_size + 1], expf(partial[s * ld + head_size] - shift), sum);
  for (int d = threadIdx.x; d < head_size; d += CACHE_THREADS) {
    float total = 0.0f;
    for (int s = 0; s < used; s++) total = fmaf(partial[s * ld + d], expf(partial[s * ld + head_size] - shift), total);
    o[row * ld_o + head * head_size + d] = narrow(total / sum);
  }
}
