// Attention of new queries against a key/value cache (generation).
//
// The new keys and values are appended at their positions; query t of sequence b then sees cache positions
// 0...positions[b·T + t].
// Shapes: q, o (B·T, ·), caches (B, capacity, K·D).
// Tasks: (sequence, key/value head), which share no memory they write. Few queries (decoding) read the cache once, as
// it lies, by dot products; many (a prompt) pack it and run attention.h's strips. The cache is fp32; where all else is
// of halves, prompts are read row by row too.
// Bound: bytes of the cache when decoding; FLOPs for a prompt.

enum { MF_DECODE_QUERIES = 8 };

typedef struct {
  const mf_cached_attention *args;
  mf_pool *pool;
} cached_context;

MF_INLINE void cache_row(const act *from, int64_t n, float *to) {
  for (int64_t i = 0; i < n; i += W) v_store_n(to + i, v_load_act_n(from + i, v_left(i, n)), v_left(i, n));
}

/// scores[j] = scale·q·k_j for the keys of one block; `size` = D.
MF_INLINE void decode_scores(
    const act *q, const float *k, int64_t ld, int64_t keys, int64_t size, float scale, float *scores) {
  int64_t j = 0;
  for (; j + 4 <= keys; j += 4) {
    const float *row = k + j * ld;
    vf s0 = (vf)0.0f, s1 = s0, s2 = s0, s3 = s0;
    for (int64_t d = 0; d < size; d += W) {
      const int64_t n = v_left(d, size);
      const vf x = v_load_act_n(q + d, n);
      s0 = v_fma(x, v_load_n(row + d, n), s0);
      s1 = v_fma(x, v_load_n(row + ld + d, n), s1);
      s2 = v_fma(x, v_load_n(row + 2 * ld + d, n), s2);
      s3 = v_fma(x, v_load_n(row + 3 * ld + d, n), s3);
    }
    scores[j] = v_sum(s0) * scale;
    scores[j + 1] = v_sum(s1) * scale;
    scores[j + 2] = v_sum(s2) * scale;
    scores[j + 3] = v_sum(s3) * scale;
  }
  for (; j < keys; j++) {
    vf s = (vf)0.0f;
    for (int64_t d = 0; d < size; d += W) {
      const int64_t n = v_left(d, size);
      s = v_fma(v_load_act_n(q + d, n), v_load_n(k + j * ld + d, n), s);
    }
    scores[j] = v_sum(s) * scale;
  }
}

/// output[d] = output[d]·decay + Σ_j p[j]·v_j[d]
MF_INLINE void decode_values(
    const float *p, const float *v, int64_t ld, int64_t keys, int64_t size, float decay, float *output) {
  for (int64_t d = 0; d < size; d += 4 * W) {
    int64_t n[4];
    vf sum[4];
    for (int i = 0; i < 4; i++) {
      n[i] = mf_max(0, v_left(d + i * W, size));
      sum[i] = v_load_n(output + d + i * W, n[i]) * decay;
    }
    if (n[3] == W) {
      for (int64_t j = 0; j < keys; j++) {
        const vf x = (vf)p[j];
        for (int i = 0; i < 4; i++) sum[i] = v_fma(x, v_load(v + j * ld + d + i * W), sum[i]);
      }
    } else {
      for (int i = 0; i < 4; i++)
        for (int64_t j = 0; j < keys && n[i] > 0; j++)
          sum[i] = v_fma((vf)p[j], v_load_n(v + j * ld + d + i * W, n[i]), sum[i]);
    }
    for (int i = 0; i < 4; i++) v_store_n(output + d + i * W, sum[i], n[i]);
  }
}

static void decode_row(
    const act *q, const float *k, const float *v, int64_t ld, int64_t keys, int64_t size, float scale, float *scores,
    float *sums, act *o) {
  float largest = -INFINITY, sum = 0;
  float *output = MF_HALF ? sums : (float *)o;
  memset(output, 0, (size_t)size * sizeof *output);
  for (int64_t origin = 0; origin < keys; origin += KEY_BLOCK) {
    const int64_t n = mf_min(KEY_BLOCK, keys - origin);
    decode_scores(q, k + origin * ld, ld, n, size, scale, scores);
    for (int64_t j = n; j < mf_round_up(n, W); j++) scores[j] = 0;
    const float decay = softmax_row(scores, scores, false, origin, origin, origin + n, 0, keys, 1.0f, &largest, &sum);
    decode_values(scores, v + origin * ld, ld, n, size, decay, output);
  }
  const float inverse = 1.0f / sum;
  for (int64_t d = 0; d < size; d += W) {
    const int64_t n = v_left(d, size);
    v_store_act_n(o + d, v_load_n(output + d, n) * inverse, n);
  }
}

static void cached_attention_task(void *opaque, int64_t task, int worker) {
  const cached_context *context = opaque;
  const mf_cached_attention *args = context->args;
  const int64_t time = args->time, size = args->head_size, group = args->heads / args->kv_heads;
  const int64_t b = task / args->kv_heads, kv = task % args->kv_heads, ld = args->kv_heads * size;
  const int32_t *positions = args->positions + b * time;
  float *k = args->k_cache + b * args->capacity * ld + kv * size;
  float *v = args->v_cache + b * args->capacity * ld + kv * size;
  int64_t seen = 0;
  for (int64_t t = 0; t < time; t++) {
    const int64_t row = (b * time + t) * args->ld_kv + kv * size;
    cache_row((const act *)args->k + row, size, k + positions[t] * ld);
    cache_row((const act *)args->v + row, size, v + positions[t] * ld);
    seen = mf_max(seen, positions[t] + 1);
  }
  float *scratch = mf_pool_scratch(context->pool, worker);
  const strip_scratch strip = strip_scratch_take(&scratch, size);
  const act *q = (const act *)args->q + b * time * args->ld_q;
  act *o = (act *)args->o + b * time * args->ld_o;
  if (MF_HALF || time < MF_DECODE_QUERIES) {
    for (int64_t t = 0; t < time; t++)
      for (int64_t head = kv * group; head < (kv + 1) * group; head++)
        decode_row(
            q + t * args->ld_q + head * size, k, v, ld, positions[t] + 1, size, args->scale, strip.scores, strip.output,
            o + t * args->ld_o + head * size);
    return;
  }
  int32_t *starts = (int32_t *)scratch_take(&scratch, time), *ends = (int32_t *)scratch_take(&scratch, time);
  for (int64_t t = 0; t < time; t++) {
    starts[t] = 0;
    ends[t] = positions[t] + 1;
  }
  const packed_keys keys = pack_keys((const act *)k, (const act *)v, ld, seen, size, &scratch);
  const int64_t strips = strip_count(time);
  for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
    const query_rows queries = {.rows = time, .ld_q = args->ld_q, .ld_o = args->ld_o, .q = q + head * size,
                                .o = o + head * size, .starts = starts, .ends = ends, .scale = args->scale};
    for (int64_t s = 0; s < strips; s++) {
      const int64_t first = split_start(time, strips, s);
      attention_strip(&queries, &keys, first, split_start(time, strips, s + 1) - first, &strip);
    }
  }
}

static void cached_attention(mf_pool *pool, const mf_cached_attention *args) {
  if (args->time <= 0) return;
  mf_parallel(pool, args->batch * args->kv_heads, cached_attention_task, &(cached_context){args, pool});
}
