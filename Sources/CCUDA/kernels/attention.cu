// Attention and its gradient in plain fp32 arithmetic: for fp32 storage, for head sizes and alignments that the tensor
// cores' kernels don't take (attention_tensor.cu), and as what those are compared with.
//
// Equations and shapes: attention.cuh. Any head size up to 256: names end with the largest one that a kernel takes.
// A block has 16 rows of its own (queries, or keys), four a warp, and walks over 32 of the others at a time, one a
// lane.
// Bound: FLOPs (forward 4·D, backward 14·D per visible pair of query and key), at the rate of fp32 multiply-adds.
#include "common.cuh"
#include "philox.cuh"

#include "attention.cuh"

constexpr int MINE = 16, THEIRS = 32, EACH = 4, THREADS = 128;

/// Rows first..<first + count (those from `end` on as zeros) of `size` columns to shared memory, as fp32.
MF_DEVICE void stage(float *shared, int stride, const act *p, int64_t ld, int first, int count, int end, int size) {
  for (int row = threadIdx.x / 32; row < count; row += THREADS / 32)
    for (int d = threadIdx.x % 32; d < size; d += 32)
      shared[row * stride + d] = first + row < end ? widen(p[int64_t(first + row) * ld + d]) : 0.0f;
}

/// What dropout multiplies the probability of (query row, key) by.
MF_DEVICE float dropout_factor(float rate, uint32_t site, const mf_run *run, uint32_t row, int key) {
  if (!(rate > 0)) return 1.0f;
  const philox_words words = attention_words(uint32_t(key), row, site, *run);
  const uint32_t low = key & 1 ? words.word[1] : words.word[0], high = key & 1 ? words.word[3] : words.word[2];
  return (key & 2 ? high : low) >= dropout_threshold(rate) ? 1.0f / (1.0f - rate) : 0.0f;
}

template <int PARTS>
MF_DEVICE void attention(MF_ATTENTION_ARGUMENTS, act *o, int64_t ld_o, float *lse) {
  const int stride = head_size | 1;  // odd: no two lanes of a column share a bank
  float *queries = reinterpret_cast<float *>(mf_shared), *tile = queries + MINE * stride;
  const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * EACH, first = blockIdx.x * MINE;
  const int heads = gridDim.y, head = blockIdx.y, b = blockIdx.z, kv = head / (heads / kv_heads);
  const act *keys = k + int64_t(b) * time * ld_kv + kv * head_size;
  const act *values = v + int64_t(b) * time * ld_kv + kv * head_size;
  stage(queries, stride, q + int64_t(b) * time * ld_q + head * head_size, ld_q, first, MINE, time, head_size);
  int low = time, high = 0;
  for (int r = 0; r < MINE; r++) {
    const key_range range = visible_keys(mask, ranges, b, first + r, time);
    if (range.start < range.end) low = least(low, range.start);
    high = most(high, range.end);
  }
  key_range seen[EACH];
  float largest[EACH], sum[EACH] = {}, output[EACH][PARTS] = {};
#pragma unroll
  for (int r = 0; r < EACH; r++) {
    seen[r] = visible_keys(mask, ranges, b, first + own + r, time);
    largest[r] = -MF_INFINITY;
  }
  for (int origin = low / THEIRS * THEIRS; origin < high; origin += THEIRS) {
    __syncthreads();
    stage(tile, stride, keys, ld_kv, origin, THEIRS, time, head_size);
    __syncthreads();
    float p[EACH] = {};
    for (int d = 0; d < head_size; d++) {
      const float key = tile[lane * stride + d];
#pragma unroll
      for (int r = 0; r < EACH; r++) p[r] = fmaf(queries[(own + r) * stride + d], key, p[r]);
    }
    __syncthreads();
    stage(tile, stride, values, ld_kv, origin, THEIRS, time, head_size);
    __syncthreads();
    const int key = origin + lane;
#pragma unroll
    for (int r = 0; r < EACH; r++) {
      const bool visible = key >= seen[r].start && key < seen[r].end;
      const float score = visible ? p[r] * scale : -MF_INFINITY;
      const float now = most(largest[r], warp_max(score));
      // Only −∞ or NaN scores: nothing can be subtracted.
      const float shift = now == -MF_INFINITY ? 0.0f : now, decay = expf(largest[r] - shift);
      p[r] = visible ? expf(score - shift) : 0.0f;
      sum[r] = sum[r] * decay + warp_sum(p[r]);
      largest[r] = now;
      if (visible)
        p[r] *= dropout_factor(rate, site, run, uint32_t((b * heads + head) * time + first + own + r), key);
#pragma unroll
      for (int part = 0; part < PARTS; part++) output[r][part] *= decay;
    }
    for (int j = 0; j < THEIRS; j++) {
      float value[PARTS];
#pragma unroll
      for (int part = 0; part < PARTS; part++)
        value[part] = part * 32 + lane < head_size ? tile[j * stride + part * 32 + lane] : 0.0f;
#pragma unroll
      for (int r = 0; r < EACH; r++) {
        const float share = __shfl_sync(ALL_LANES, p[r], j);
#pragma unroll
        for (int part = 0; part < PARTS; part++) output[r][part] = fmaf(share, value[part], output[r][part]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < EACH; r++) {
    const int i = first + own + r;
    if (i >= time) continue;
    const float inverse = sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];
    act *out = o + (int64_t(b) * time + i) * ld_o + head * head_size;
#pragma unroll
    for (int part = 0; part < PARTS; part++)
      if (part * 32 + lane < head_size) out[part * 32 + lane] = narrow(output[r][part] * inverse);
    if (lane == 0)
      lse[int64_t(b * heads + head) * time + i] = sum[r] == 0.0f ? -MF_INFINITY : largest[r] + logf(sum[r]);
  }
}

/// One pass of the gradient: dk and dv of 16 keys (KEYS), or dq of 16 queries.
template <int PARTS, bool KEYS>
MF_DEVICE void attention_gradient(
    MF_ATTENTION_ARGUMENTS, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta, act *dq,
    act *dk, act *dv, int64_t ld_dq, int64_t ld_dkv) {
  const int stride = head_size | 1;
  float *mine = reinterpret_cast<float *>(mf_shared), *mine2 = mine + MINE * stride;
  float *theirs = mine2 + MINE * stride, *theirs2 = theirs + THEIRS * stride;
  const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * EACH, first = blockIdx.x * MINE, b = blockIdx.z;
  const int group = heads / kv_heads, kv = KEYS ? blockIdx.y : blockIdx.y / group;
  const int first_head = KEYS ? kv * group : blockIdx.y, last_head = KEYS ? first_head + group : first_head + 1;
  const int64_t sequence = int64_t(b) * time;
  const act *keys = k + sequence * ld_kv + kv * head_size, *values = v + sequence * ld_kv + kv * head_size;
  if (KEYS) {
    stage(mine, stride, keys, ld_kv, first, MINE, time, head_size);
    stage(mine2, stride, values, ld_kv, first, MINE, time, head_size);
  }
  float sums[EACH][PARTS] = {}, sums2[EACH][PARTS] = {};
  for (int head = first_head; head < last_head; head++) {
    const act *queries = q + sequence * ld_q + head * head_size, *outer = dout + sequence * ld_do + head * head_size;
    const int64_t statistics = int64_t(b * heads + head) * time;
    key_range seen[EACH];
    float own_lse[EACH], own_delta[EACH];
    if (!KEYS) {
      stage(mine, stride, queries, ld_q, first, MINE, time, head_size);
      stage(mine2, stride, outer, ld_do, first, MINE, time, head_size);
#pragma unroll
      for (int r = 0; r < EACH; r++) {
        const int i = first + own + r;
        seen[r] = visible_keys(mask, ranges, b, i, time);
        own_lse[r] = i < time ? lse[statistics + i] : 0.0f;
        own_delta[r] = i < time ? delta[statistics + i] : 0.0f;
      }
    }
    for (int origin = KEYS && mask == CAUSAL ? first / THEIRS * THEIRS : 0; origin < time; origin += THEIRS) {
      const int other = origin + lane;
      key_range range = {0, 0};
      float their_lse = 0.0f, their_delta = 0.0f;
      bool meets = false;
      if (KEYS) {
        range = visible_keys(mask, ranges, b, other, time);
        meets = range.start < first + MINE && range.end > first;
        if (other < time) their_lse = lse[statistics + other], their_delta = delta[statistics + other];
      } else {
        // Lanes look at all queries of the block, so that all warps decide alike.
        const key_range any = visible_keys(mask, ranges, b, first + lane % MINE, time);
        meets = any.start < origin + THEIRS && any.end > origin;
      }
      if (!__any_sync(ALL_LANES, meets)) continue;
      __syncthreads();
      stage(theirs, stride, KEYS ? queries : keys, KEYS ? ld_q : ld_kv, origin, THEIRS, time, head_size);
      stage(theirs2, stride, KEYS ? outer : values, KEYS ? ld_do : ld_kv, origin, THEIRS, time, head_size);
      __syncthreads();
      float p[EACH] = {}, ds[EACH] = {};
      for (int d = 0; d < head_size; d++) {
        const float a = theirs[lane * stride + d], c = theirs2[lane * stride + d];
#pragma unroll
        for (int r = 0; r < EACH; r++) {
          p[r] = fmaf(mine[(own + r) * stride + d], a, p[r]);
          ds[r] = fmaf(mine2[(own + r) * stride + d], c, ds[r]);
        }
      }
#pragma unroll
      for (int r = 0; r < EACH; r++) {
        const int key = KEYS ? first + own + r : other, i = KEYS ? other : first + own + r;
        const key_range sees = KEYS ? range : seen[r];
        if (key < sees.start || key >= sees.end) {
          p[r] = ds[r] = 0.0f;
          continue;
        }
        const float probability = expf(p[r] * scale - (KEYS ? their_lse : own_lse[r]));
        const float factor =
            dropout_factor(rate, site, run, uint32_t((b * heads + head) * time + i), key);
        ds[r] = probability * (ds[r] * factor - (KEYS ? their_delta : own_delta[r]));
        p[r] = probability * factor;
      }
      for (int j = 0; j < THEIRS; j++) {
        float a[PARTS], c[PARTS];
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
          const bool exists = part * 32 + lane < head_size;
          a[part] = exists ? theirs[j * stride + part * 32 + lane] : 0.0f;
          c[part] = KEYS && exists ? theirs2[j * stride + part * 32 + lane] : 0.0f;
        }
#pragma unroll
        for (int r = 0; r < EACH; r++) {
          const float share = __shfl_sync(ALL_LANES, ds[r], j), share2 = KEYS ? __shfl_sync(ALL_LANES, p[r], j) : 0.0f;
#pragma unroll
          for (int part = 0; part < PARTS; part++) {
            sums[r][part] = fmaf(share, a[part], sums[r][part]);
            if (KEYS) sums2[r][part] = fmaf(share2, c[part], sums2[r][part]);
          }
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < EACH; r++) {
    const int64_t row = sequence + first + own + r;
    if (first + own + r >= time) continue;
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
      const int d = part * 32 + lane;
      if (d >= head_size) continue;
      if (KEYS) {
        dk[row * ld_dkv + kv * head_size + d] = narrow(sums[r][part] * scale);
        dv[row * ld_dkv + kv * head_size + d] = narrow(sums2[r][part]);
      } else {
        dq[row * ld_dq + first_head * head_size + d] = narrow(sums[r][part] * scale);
      }
    }
  }
}

/// mf_attention_plain_…: o and lse.
///
/// Grid: (⌈T/16⌉, H, B) blocks of 128 threads. Shared memory: 192·(D | 1) bytes.
///
/// mf_attention_plain_keys_… and mf_attention_plain_queries_…: dk and dv, and dq, from o's and lse's delta
/// (mf_attention_delta).
///
/// Grid: (⌈T/16⌉, K, B) for keys and (⌈T/16⌉, H, B) for queries, blocks of 128 threads. Shared memory: 384·(D | 1)
/// bytes.
/// sm_75 has that much up to D = 168, and what is above 48 KiB must be asked for.
#define MF_ATTENTION(WIDEST)                                                                                       \
  extern "C" __global__ void __launch_bounds__(THREADS, 4) mf_attention_plain_##WIDEST(                               \
      MF_ATTENTION_ARGUMENTS, act *o, int64_t ld_o, float *lse) {                                                  \
    attention<WIDEST / 32>(MF_ATTENTION_PASSED, o, ld_o, lse);                                                     \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(THREADS, 4) mf_attention_plain_keys_##WIDEST(                          \
      MF_ATTENTION_ARGUMENTS, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta,     \
      act *dk, act *dv, int64_t ld_dkv) {                                                                          \
    attention_gradient<WIDEST / 32, true>(                                                                         \
        MF_ATTENTION_PASSED, heads, dout, ld_do, lse, delta, nullptr, dk, dv, 0, ld_dkv);                          \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(THREADS, 4) mf_attention_plain_queries_##WIDEST(                       \
      MF_ATTENTION_ARGUMENTS, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta,     \
      act *dq, int64_t ld_dq) {                                                                                    \
    attention_gradient<WIDEST / 32, false>(                                                                        \
        MF_ATTENTION_PASSED, heads, dout, ld_do, lse, delta, dq, nullptr, nullptr, ld_dq, 0);                      \
  }

#define MF_ATTENTION_OF(WIDEST) MF_ATTENTION(WIDEST)

#ifdef MF_SIZE
MF_ATTENTION_OF(MF_SIZE)
#else
MF_ATTENTION(32)
MF_ATTENTION(64)
MF_ATTENTION(96)
MF_ATTENTION(128)
MF_ATTENTION(256)
#endif
