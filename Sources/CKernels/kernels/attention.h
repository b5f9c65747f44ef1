// Scaled dot-product attention, tiled with an online softmax; no T×T matrix exists.
//
// s_ij = scale·q_i·k_j for keys j in query i's range, o_i = Σ_j softmax_j(s_ij)·v_j, lse_i = log Σ_j e^(s_ij).
// Shapes: q, o (B·T, ·) with head h at columns h·D; k, v the same with K heads; lse (B, H, T).
// Tasks: (sequence, key/value head), further cut into blocks of queries where those are few; a task packs its keys
// transposed and its values as panels once, for all query heads that share them. Then, for strips of MR queries and
// blocks of KEY_BLOCK keys: scores by tiles, softmax in place, P·V by tiles. Keys outside a strip's ranges are skipped.
// Dropout strikes after the softmax: o_i = Σ_j softmax_j(s_ij)·m_ij/(1 − rate)·v_j, lse undropped; m_ij by Philox.
// Products are those of operand.h: halves are multiplied as pairs where the processor can, with fp32 sums and softmax.
// Bound: FLOPs (4·D per pair of query and visible key).
// Dao et al., "FlashAttention", arXiv:2205.14135; Milakov & Gimelshein, arXiv:1805.02867, for the online softmax.

enum {
  KEY_BLOCK = MF_ATTENTION_BLOCK,   // keys whose scores a strip holds at once: they stay in the first-level cache
  MF_ATTENTION_TASKS = 16,          // fewer (sequence, head) pairs than these are cut by queries
  MF_ATTENTION_QUERIES = 64,        // least queries of such a cut
};

/// Hands out consecutive pieces of a worker's scratch, each on its own cache lines.
MF_INLINE float *scratch_take(float **scratch, int64_t floats) {
  float *piece = *scratch;
  *scratch += mf_round_up(floats, 16);
  return piece;
}

MF_INLINE operand *operand_take(float **scratch, int64_t elements) {
  return (operand *)scratch_take(scratch, mf_ceil_div(elements * (int64_t)sizeof(operand), sizeof(float)));
}

/// One (sequence, key/value head): keys and values as panels, `padded` keys (a multiple of NR) of them.
typedef struct {
  int64_t keys, padded, size;       // size: D
  operand *transposed;              // [padded / NR][D][NR]
  operand *values;                  // [⌈D / NR⌉][padded][NR]
} packed_keys;

MF_INLINE packed_keys pack_keys(
    const act *k, const act *v, int64_t ld, int64_t count, int64_t size, float **scratch) {
  packed_keys keys = {.keys = count, .padded = mf_round_up(count, NR), .size = size};
  keys.transposed = operand_take(scratch, keys.padded / NR * panel_elements(size));
  keys.values = operand_take(scratch, keys.padded * mf_round_up(size, NR));
  pack_columns(k, ld, count, size, keys.transposed);
  pack_steps(v, ld, count, size, keys.values, panel_elements(keys.padded));
  return keys;
}

/// Queries of one head and their ranges of visible keys.
typedef struct {
  int64_t rows, ld_q, ld_o;
  const act *q;
  act *o;
  float *lse;                       // may be NULL
  const int32_t *starts, *ends;
  float scale;
  const mf_attention *drops;        // whose dropout strikes; NULL: none
  uint32_t first_row;               // (b·H + h)·T, for the random numbers
} query_rows;

MF_INLINE void softmax_store(void *p, const bool operands, int64_t i, vf v) {
  if (operands) v_store_operand((operand *)p + i, v);
  else v_store((float *)p + i, v);
}

/// Which of the W keys from `i` on lie in from..<to.
MF_INLINE vi softmax_sees(int64_t i, int64_t from, int64_t to) {
  const vi key = v_lanes() + (int32_t)i;
  return (key >= (int32_t)from) & (key < (int32_t)to);
}

/// Scores of one row for keys first..<last (of the block that begins at `origin`) → e^(score − largest) at `p`, as operands
/// or as floats (which may be the scores themselves), zeros outside the row's own range. Updates the running maximum and
/// sum; returns the factor of the earlier output.
MF_INLINE float softmax_row(
    const float *scores, void *p, const bool operands, int64_t origin, int64_t first, int64_t last, int64_t start,
    int64_t end, float scale, float *largest, float *sum) {
  const int64_t from = mf_max(start, first) - origin, to = mf_min(end, last) - origin;
  // Vectors are taken at multiples of W from the block's origin.
  const int64_t row_from = (first - origin) / W * W, row_to = mf_round_up(last - origin, W);
  const int64_t low = from < to ? from / W * W : row_to, high = from < to ? mf_round_up(to, W) : row_to;
  for (int64_t i = row_from; i < low; i += W) softmax_store(p, operands, i, (vf)0.0f);
  for (int64_t i = high; i < row_to; i += W) softmax_store(p, operands, i, (vf)0.0f);
  if (from >= to) return 1.0f;
  vf most = (vf)-INFINITY;
  for (int64_t i = low; i < high; i += W) {
    const vf s = v_load(scores + i) * scale;
    most = v_max(i < from || i + W > to ? (softmax_sees(i, from, to) ? s : (vf)-INFINITY) : s, most);
  }
  const float before = *largest, block_largest = v_largest(most);
  const float now = block_largest > before ? block_largest : before;
  // Only −∞ or NaN scores: nothing can be subtracted.
  const float shift = now == -INFINITY ? 0.0f : now;
  vf total = (vf)0.0f;
  for (int64_t i = low; i < high; i += W) {
    const vf x = v_fma(v_load(scores + i), (vf)scale, (vf)-shift);
    vf e = operands ? v_exp_operand(x) : v_exp(x);
    if (i < from || i + W > to) e = softmax_sees(i, from, to) ? e : (vf)0.0f;
    softmax_store(p, operands, i, e);
    total += e;
  }
  const float decay = before == -INFINITY ? 0.0f : expf(before - shift);
  *sum = *sum * decay + v_sum(total);
  *largest = now;
  return before == now ? 1.0f : decay;
}

/// Zeroes what dropout drops of one query's probabilities of the keys first..<last, in the block from `origin`.
static void drop_row(
    operand *probabilities, int64_t origin, int64_t first, int64_t last, const mf_attention *args, uint32_t row) {
  const uint32_t threshold = dropout_threshold(args->dropout);
  // Blocks begin at multiples of W, and so of 4: no counter is cut.
  for (int64_t i = (first - origin) / W * W; i < last - origin; i += 4 * W) {
    vu words[4] = {(vu)v_lanes() + (uint32_t)((origin + i) / 4), (vu)row, (vu)args->site, (vu)args->micro_step};
    philox(words, args->seed);
    vu in_order[4];
    philox_in_order(words, in_order);
    for (int part = 0; part < 4 && i + part * W < last - origin; part++) {
      operand *p = probabilities + i + part * W;
      v_store_operand(p, in_order[part] >= threshold ? v_load_operand(p) : (vf)0.0f);
    }
  }
}

/// What a strip of queries needs for itself.
typedef struct {
  float *scores;                    // (MR, KEY_BLOCK), then probabilities
  operand *probabilities;           // the same as operands
  float *output;                    // (MR, D), rows rounded up to panels
  operand *q;                       // the same, where queries aren't read where they lie
} strip_scratch;

MF_INLINE strip_scratch strip_scratch_take(float **scratch, int64_t size) {
  strip_scratch strip = {.scores = scratch_take(scratch, MR * KEY_BLOCK)};
  strip.output = scratch_take(scratch, MR * mf_round_up(size, NR));
  strip.q = operand_take(scratch, MF_HALF ? MR * mf_round_up(size, NR) : 0);
#if MF_BF16_INSTRUCTIONS
  strip.probabilities = operand_take(scratch, MR * KEY_BLOCK);
#else
  strip.probabilities = strip.scores;
#endif
  return strip;
}

/// One strip of queries row..<row + rows.
static void attention_strip(
    const query_rows *queries, const packed_keys *keys, int64_t row, int64_t rows, const strip_scratch *scratch) {
  float *scores = scratch->scores, *output = scratch->output;
  const int64_t size = keys->size, ld_output = mf_round_up(size, NR);
  int64_t low = INT64_MAX, high = 0;
  float largest[MR], sum[MR];
  for (int64_t r = 0; r < rows; r++) {
    const int64_t start = queries->starts[row + r], end = queries->ends[row + r];
    if (start < end) {
      low = mf_min(low, start);
      high = mf_max(high, end);
    }
    largest[r] = -INFINITY;
    sum[r] = 0;
  }
  bool written = false;
  int64_t ld_q = queries->ld_q;
  const operand *q = tile_operand(queries->q + row * ld_q, &ld_q, rows, size, scratch->q);
  for (int64_t origin = low < high ? low / NR * NR : high; origin < high; origin += KEY_BLOCK) {
    const int64_t first = mf_max(low, origin), last = mf_min(high, origin + KEY_BLOCK);
    small_tile s = {.k = size, .a = q, .lda = ld_q, .ldc = KEY_BLOCK, .columns = NR};
    for (int64_t j = origin; j < last; j += NR) {
      s.b = keys->transposed + j / NR * panel_elements(size);
      s.c = scores + (j - origin);
      small_tile_run(&s, rows, true);
    }
    for (int64_t r = 0; r < rows; r++) {
      const float decay = softmax_row(
          scores + r * KEY_BLOCK, scratch->probabilities + r * KEY_BLOCK, true, origin, first, last,
          queries->starts[row + r], queries->ends[row + r], queries->scale, &largest[r], &sum[r]);
      if (written && decay != 1.0f)
        for (float *out = output + r * ld_output; out < output + r * ld_output + size; out += W)
          v_store(out, v_load(out) * decay);
      if (queries->drops != NULL)
        drop_row(
            scratch->probabilities + r * KEY_BLOCK, origin, first, last, queries->drops,
            queries->first_row + (uint32_t)(row + r));
    }
    // A step that begins before `first` has probabilities of 0 there.
    const int64_t step = first / STEP * STEP;
    small_tile o = {.k = last - step, .a = scratch->probabilities + (step - origin), .lda = KEY_BLOCK, .ldc = ld_output,
                    .ld_add = ld_output};
    for (int64_t d = 0; d < size; d += NR) {
      o.b = keys->values + d / NR * panel_elements(keys->padded) + step * NR;
      o.c = output + d;
      o.add = written ? o.c : NULL;
      o.columns = size - d <= W && STEP == 1 ? W : NR;
      small_tile_run(&o, rows, true);
    }
    written = true;
  }
  const float kept = queries->drops != NULL ? 1.0f / (1.0f - queries->drops->dropout) : 1.0f;
  for (int64_t r = 0; r < rows; r++) {
    const float inverse = sum[r] > 0 || sum[r] != sum[r] ? kept / sum[r] : 0.0f;
    act *o = queries->o + (row + r) * queries->ld_o;
    for (int64_t d = 0; d < size; d += W) {
      const int64_t n = v_left(d, size);
      v_store_act_n(o + d, written ? v_load(output + r * ld_output + d) * inverse : (vf)0.0f, n);
    }
    if (queries->lse != NULL) queries->lse[row + r] = sum[r] == 0 ? -INFINITY : largest[r] + logf(sum[r]);
  }
}

/// The mask of query i of sequence b as a range of keys, empty as 0..<0.
MF_INLINE void attention_range(const mf_attention *args, int64_t b, int64_t i, int32_t *start, int32_t *end) {
  int64_t from = 0, to = args->time;
  if (args->mask == MF_MASK_CAUSAL) to = i + 1;
  if (args->mask == MF_MASK_RANGES) {
    from = mf_max(0, args->ranges[2 * (b * args->time + i)]);
    to = mf_min(args->time, args->ranges[2 * (b * args->time + i) + 1]);
  }
  *start = from < to ? (int32_t)from : 0;
  *end = from < to ? (int32_t)to : 0;
}

/// Pieces into which the queries (or keys) of each (sequence, head) are cut, from the shapes alone.
MF_INLINE int64_t attention_pieces(int64_t pairs, int64_t time) {
  return mf_max(1, mf_min(mf_ceil_div(MF_ATTENTION_TASKS, mf_max(1, pairs)), time / MF_ATTENTION_QUERIES));
}

typedef struct {
  const mf_attention *args;
  mf_pool *pool;
  int64_t pieces;
} attention_context;

static void attention_task(void *opaque, int64_t task, int worker) {
  const attention_context *context = opaque;
  const mf_attention *args = context->args;
  const int64_t time = args->time, size = args->head_size, group = args->heads / args->kv_heads;
  const int64_t pair = task / context->pieces, b = pair / args->kv_heads, kv = pair % args->kv_heads;
  // Later queries of a causal mask see more keys: the long pieces go first.
  const int64_t piece = context->pieces - 1 - task % context->pieces;
  const int64_t begin = split_start(time, context->pieces, piece), end = split_start(time, context->pieces, piece + 1);
  float *scratch = mf_pool_scratch(context->pool, worker);
  int32_t *starts = (int32_t *)scratch_take(&scratch, time), *ends = (int32_t *)scratch_take(&scratch, time);
  int64_t seen = 0;
  for (int64_t i = begin; i < end; i++) {
    attention_range(args, b, i, &starts[i], &ends[i]);
    seen = mf_max(seen, ends[i]);
  }
  const int64_t row = b * time, at = row * args->ld_kv + kv * size;
  const packed_keys keys =
      pack_keys((const act *)args->k + at, (const act *)args->v + at, args->ld_kv, seen, size, &scratch);
  const strip_scratch strip = strip_scratch_take(&scratch, size);
  const int64_t strips = strip_count(end - begin);
  for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
    const query_rows queries = {.rows = time, .ld_q = args->ld_q, .ld_o = args->ld_o,
                                .q = (const act *)args->q + row * args->ld_q + head * size,
                                .o = (act *)args->o + row * args->ld_o + head * size,
                                .lse = args->lse + (b * args->heads + head) * time, .starts = starts, .ends = ends,
                                .scale = args->scale, .drops = args->dropout > 0 ? args : NULL,
                                .first_row = (uint32_t)((b * args->heads + head) * time)};
    for (int64_t s = 0; s < strips; s++) {
      const int64_t first = split_start(end - begin, strips, s), next = split_start(end - begin, strips, s + 1);
      attention_strip(&queries, &keys, begin + first, next - first, &strip);
    }
  }
}

static void attention(mf_pool *pool, const mf_attention *args) {
  if (args->time <= 0) return;
  const int64_t pairs = args->batch * args->kv_heads;
  attention_context context = {args, pool, attention_pieces(pairs, args->time)};
  mf_parallel(pool, pairs * context.pieces, attention_task, &context);
}
