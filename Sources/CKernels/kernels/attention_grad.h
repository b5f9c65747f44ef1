// Gradient of attention: the scores are recomputed tile by tile from lse.
//
// P_ij = e^(scale·q_i·k_j − lse_i), δ_i = do_i·o_i, dS = scale·P ⊙ (do·vᵀ − δ)
// dv = Pᵀ·do, dk = dSᵀ·q, dq = dS·k; dk and dv of a key/value head sum over its query heads, in order.
// With dropout M = m/(1 − rate), drawn again: dS = scale·P ⊙ (M ⊙ (do·vᵀ) − δ), dv = (M ⊙ P)ᵀ·do; δ stays.
// Tasks: (sequence, key/value head). All is done transposed, strips of MR keys against blocks of QUERY_BLOCK queries,
// so that dv and dk have their whole depth in one product; dq is added per QUERY_KEYS keys. Where the pairs are few,
// the keys are cut into pieces for dk and dv, and the queries into pieces for dq in a second pass that recomputes dS.
// Gradients of halves are summed in fp32 scratch and rounded once.
// Bound: FLOPs (10·D per visible pair of query and key, 14·D in two passes).
// Dao et al., arXiv:2205.14135, algorithm 4.

enum {
  QUERY_BLOCK = MF_ATTENTION_BLOCK,
  QUERY_KEYS = MF_ATTENTION_KEYS / MR * MR,
  DELTA_AHEAD = 16,                 // rows of o that are fetched before they are needed
};

typedef struct {
  const mf_attention_grad *args;
  mf_pool *pool;
  int64_t pieces;
  bool keys_done, queries_done;     // what this pass writes: dk and dv, dq
} attention_grad_context;

/// A gradient as it is summed: fp32 rows `ld` apart.
typedef struct {
  float *p;
  int64_t ld;
} gradient_rows;

/// One task's operands; queries are of one head at a time, counted from `query_begin`.
typedef struct {
  const mf_attention_grad *args;
  int64_t row, kv;                  // first row of the sequence; key/value head
  int64_t key_begin, key_end, query_begin, query_end, padded;
  int32_t *starts, *ends;           // (padded), empty behind the last query
  int32_t *panel_ranges;            // per NR queries: least and largest start, least and largest end
  float *lse, *delta;
  operand *q_transposed, *do_transposed, *q_rows, *do_rows, *k_rows;
  float *p, *dp;                    // (MR, QUERY_BLOCK)
  operand *seen, *ds;               // P after dropout, (MR, QUERY_BLOCK); (QUERY_KEYS, QUERY_BLOCK)
  operand *k_strip, *v_strip;       // (MR, D), of halves
  operand *ds_strip;                // of ds, where a tile doesn't read it where it lies
  gradient_rows dq, dk, dv;         // from query_begin (of one head), from key_begin on
  uint32_t first_row;               // (b·H + h)·T + query_begin, for dropout's random numbers
  bool write_keys, write_queries;
} grad_task;

static void grad_ranges(grad_task *t, int64_t b) {
  const int64_t queries = t->query_end - t->query_begin;
  for (int64_t i = 0; i < t->padded; i++) {
    t->starts[i] = t->ends[i] = 0;
    if (i < queries) attention_range(&t->args->forward, b, t->query_begin + i, &t->starts[i], &t->ends[i]);
  }
  for (int64_t panel = 0; panel < t->padded / NR; panel++) {
    int32_t *range = t->panel_ranges + 4 * panel;
    range[0] = range[2] = INT32_MAX;
    range[1] = range[3] = 0;
    for (int64_t i = panel * NR; i < (panel + 1) * NR; i++) {
      if (t->starts[i] < t->ends[i] && t->starts[i] < range[0]) range[0] = t->starts[i];
      if (t->starts[i] > range[1]) range[1] = t->starts[i];
      if (t->ends[i] < range[2]) range[2] = t->ends[i];
      if (t->ends[i] > range[3]) range[3] = t->ends[i];
    }
  }
}

static void grad_pack_head(grad_task *t, int64_t head, int64_t b) {
  const mf_attention_grad *args = t->args;
  const mf_attention *forward = &args->forward;
  const int64_t size = forward->head_size, queries = t->query_end - t->query_begin, row = t->row + t->query_begin;
  const act *q = (const act *)forward->q + row * forward->ld_q + head * size;
  const act *d = (const act *)args->do_ + row * args->ld_do + head * size;
  pack_columns(q, forward->ld_q, queries, size, t->q_transposed);
  pack_columns(d, args->ld_do, queries, size, t->do_transposed);
  pack_steps(q, forward->ld_q, queries, size, t->q_rows, panel_elements(t->padded));
  pack_steps(d, args->ld_do, queries, size, t->do_rows, panel_elements(t->padded));
  const act *o = (const act *)forward->o + row * forward->ld_o + head * size;
  const float *lse = forward->lse + (b * forward->heads + head) * forward->time + t->query_begin;
  for (int64_t i = 0; i < queries; i++) {
    vf sum = (vf)0.0f;
    // A head's rows are too short and too far apart for the processor to see the pattern.
    const act *ahead = o + mf_min(i + DELTA_AHEAD, queries - 1) * forward->ld_o;
    for (int64_t j = 0; j < size; j += W) {
      const int64_t n = v_left(j, size);
      __builtin_prefetch(ahead + j);
      sum = v_fma(v_load_act_n(d + i * args->ld_do + j, n), v_load_act_n(o + i * forward->ld_o + j, n), sum);
    }
    t->delta[i] = v_sum(sum);
    t->lse[i] = lse[i];
  }
  for (int64_t i = queries; i < t->padded; i++) t->delta[i] = t->lse[i] = 0;
  t->first_row = (uint32_t)((b * forward->heads + head) * forward->time + t->query_begin);
}

/// M of `key` for the W queries from `query` on. `words` holds the random words of four keys from one call to the next.
MF_INLINE vf grad_kept(const grad_task *t, int64_t query, int64_t key, bool fresh, vu words[4]) {
  const mf_attention *forward = &t->args->forward;
  if (fresh || key % 4 == 0) {
    words[0] = (vu)(uint32_t)(key / 4);
    words[1] = (vu)v_lanes() + (t->first_row + (uint32_t)query);
    words[2] = (vu)forward->site;
    words[3] = (vu)forward->micro_step;
    philox(words, forward->seed);
  }
  return words[key % 4] >= dropout_threshold(forward->dropout) ? (vf)(1.0f / (1.0f - forward->dropout)) : (vf)0.0f;
}

/// Scores of `rows` keys from `key` against queries from..<to (whole panels) → P in t->seen and dS in `ds`.
MF_INLINE void grad_scores(
    grad_task *t, int64_t key, int64_t rows, int64_t block, int64_t from, int64_t to, operand *ds, const bool drops) {
  const mf_attention *forward = &t->args->forward;
  const int64_t size = forward->head_size, at = (t->row + key) * forward->ld_kv + t->kv * size;
  small_tile s = {.k = size, .lda = forward->ld_kv, .ldc = QUERY_BLOCK, .columns = NR};
  small_tile d = s;
  s.a = tile_operand((const act *)forward->k + at, &s.lda, rows, size, t->k_strip);
  d.a = tile_operand((const act *)forward->v + at, &d.lda, rows, size, t->v_strip);
  const vf scale = (vf)forward->scale;
  for (int64_t i = from; i < to; i += NR) {
    s.b = t->q_transposed + i / NR * panel_elements(size);
    s.c = t->p + (i - block);
    small_tile_run(&s, rows, true);
    d.b = t->do_transposed + i / NR * panel_elements(size);
    d.c = t->dp + (i - block);
    small_tile_run(&d, rows, true);
    const int32_t *range = t->panel_ranges + i / NR * 4;
    const bool all = range[1] <= key && key + rows <= range[2];
    for (int64_t half = i; half < i + NR; half += W) {
      const vf lse = v_load(t->lse + half), delta = v_load(t->delta + half);
      const vi start = vi_load(t->starts + half), end = vi_load(t->ends + half);
      vu words[4];
      for (int64_t r = 0; r < rows; r++) {
        const int64_t cell = r * QUERY_BLOCK + half - block;
        vf p = v_exp_operand(v_fma(v_load(t->p + cell), scale, -lse));
        if (!all) p = ((start <= (int32_t)(key + r)) & ((int32_t)(key + r) < end)) ? p : (vf)0.0f;
        vf dp = v_load(t->dp + cell), seen = p;
        if (drops) {
          const vf kept = grad_kept(t, half, key + r, r == 0, words);
          dp *= kept;
          seen *= kept;
        }
        v_store_operand(t->seen + cell, seen);
        v_store_operand(ds + cell, p * (dp - delta) * scale);
      }
    }
  }
}

/// destination (rows, D) += A·B, B as row panels of `padded` rows; k from `from` (a multiple of STEP) on.
MF_INLINE void grad_add(
    small_tile t, int64_t rows, const bool k_contiguous, const operand *panels, int64_t padded, int64_t from,
    int64_t size, float *destination, int64_t ld) {
  t.ldc = t.ld_add = ld;
  for (int64_t d = 0; d < size; d += NR) {
    // Halves are summed in rows of whole panels.
    t.columns = MF_HALF ? NR : mf_min(NR, size - d);
    t.b = panels + d / NR * panel_elements(padded) + from * NR;
    t.c = destination + d;
    t.add = t.c;
    small_tile_run(&t, rows, k_contiguous);
  }
}

/// One block of queries (block..<block_end, whole panels) against up to QUERY_KEYS keys.
static void grad_block(grad_task *t, int64_t block, int64_t block_end, int64_t key, int64_t key_end) {
  const mf_attention_grad *args = t->args;
  const int64_t size = args->forward.head_size, strips = strip_count(key_end - key);
  const int64_t queries = mf_min(block_end, t->query_end - t->query_begin);
  bool any = false;
  for (int64_t s = 0; s < strips; s++) {
    const int64_t first = key + split_start(key_end - key, strips, s);
    const int64_t rows = key + split_start(key_end - key, strips, s + 1) - first;
    int64_t from = block_end, to = block;  // the panels that see any of these keys
    for (int64_t i = block; i < block_end; i += NR) {
      const int32_t *range = t->panel_ranges + i / NR * 4;
      if (range[0] < first + rows && first < range[3]) {
        from = mf_min(from, i);
        to = i + NR;
      }
    }
    operand *ds = t->ds + (first - key) * QUERY_BLOCK;
    for (int64_t r = 0; r < rows; r++) {
      operand *row = ds + r * QUERY_BLOCK;
      memset(row, 0, (size_t)(from - block) * sizeof *row);
      if (from < to) memset(row + (to - block), 0, (size_t)(block_end - to) * sizeof *row);
    }
    if (from >= to) continue;
    any = true;
    if (args->forward.dropout > 0)
      grad_scores(t, first, rows, block, from, to, ds, true);
    else
      grad_scores(t, first, rows, block, from, to, ds, false);
    if (!t->write_keys) continue;
    const int64_t at = first - t->key_begin, depth = mf_min(to, queries) - from;
    grad_add(
        (small_tile){.k = depth, .a = t->seen + (from - block), .lda = QUERY_BLOCK}, rows, true, t->do_rows, t->padded,
        from, size, t->dv.p + at * t->dv.ld, t->dv.ld);
    grad_add(
        (small_tile){.k = depth, .a = ds + (from - block), .lda = QUERY_BLOCK}, rows, true, t->q_rows, t->padded, from,
        size, t->dk.p + at * t->dk.ld, t->dk.ld);
  }
  if (!any || !t->write_queries) return;
  const int64_t query_strips = strip_count(queries - block);
  for (int64_t s = 0; s < query_strips; s++) {
    const int64_t first = block + split_start(queries - block, query_strips, s);
    const int64_t rows = block + split_start(queries - block, query_strips, s + 1) - first;
    int64_t from = key_end, to = key;  // the keys that these queries see
    for (int64_t i = first; i < first + rows; i++)
      if (t->starts[i] < t->ends[i]) {
        from = mf_min(from, mf_max(key, t->starts[i]));
        to = mf_max(to, mf_min(key_end, t->ends[i]));
      }
    if (from >= to) continue;
    from -= (from - t->key_begin) % STEP;
    small_tile q = {.k = to - from, .lda = QUERY_BLOCK};
    q.a = tile_operand_transposed(
        t->ds + (from - key) * QUERY_BLOCK + (first - block), &q.lda, to - from, rows, t->ds_strip);
    grad_add(
        q, rows, false, t->k_rows, mf_round_up(t->key_end - t->key_begin, NR), from - t->key_begin, size,
        t->dq.p + first * t->dq.ld, t->dq.ld);
  }
}

/// Where the gradient rows at `destination` are summed, zeroed: there, or for halves in scratch.
MF_INLINE gradient_rows grad_rows_begin(act *destination, int64_t ld, float *sums, int64_t rows, int64_t columns) {
  const gradient_rows gradient =
      MF_HALF ? (gradient_rows){sums, mf_round_up(columns, NR)} : (gradient_rows){(float *)destination, ld};
  const int64_t zeroed = MF_HALF ? gradient.ld : columns;
  for (int64_t r = 0; r < rows; r++) memset(gradient.p + r * gradient.ld, 0, (size_t)zeroed * sizeof(float));
  return gradient;
}

MF_INLINE void grad_rows_end(const gradient_rows *sums, act *destination, int64_t ld, int64_t rows, int64_t columns) {
  if (!MF_HALF) return;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < columns; j += W) {
      const int64_t n = v_left(j, columns);
      v_store_act_n(destination + r * ld + j, v_load(sums->p + r * sums->ld + j), n);
    }
}

static void attention_grad_task(void *opaque, int64_t task, int worker) {
  const attention_grad_context *context = opaque;
  const mf_attention_grad *args = context->args;
  const mf_attention *forward = &args->forward;
  const int64_t time = forward->time, size = forward->head_size, group = forward->heads / forward->kv_heads;
  const int64_t pair = task / context->pieces, b = pair / forward->kv_heads, piece = task % context->pieces;
  const int64_t begin = split_start(time, context->pieces, piece), end = split_start(time, context->pieces, piece + 1);
  grad_task t = {.args = args, .row = b * time, .kv = pair % forward->kv_heads, .key_end = time, .query_end = time,
                 .write_keys = context->keys_done, .write_queries = context->queries_done};
  if (t.write_keys) {
    t.key_begin = begin;
    t.key_end = end;
  }
  if (t.write_queries) {
    t.query_begin = begin;
    t.query_end = end;
  }
  const int64_t queries = t.query_end - t.query_begin;
  t.padded = mf_round_up(queries, NR);
  const int64_t wide = mf_round_up(size, NR), keys = t.key_end - t.key_begin, padded_keys = mf_round_up(keys, NR);
  float *scratch = mf_pool_scratch(context->pool, worker);
  t.starts = (int32_t *)scratch_take(&scratch, t.padded);
  t.ends = (int32_t *)scratch_take(&scratch, t.padded);
  t.panel_ranges = (int32_t *)scratch_take(&scratch, t.padded / NR * 4);
  t.lse = scratch_take(&scratch, t.padded);
  t.delta = scratch_take(&scratch, t.padded);
  t.q_transposed = operand_take(&scratch, t.padded / NR * panel_elements(size));
  t.do_transposed = operand_take(&scratch, t.padded / NR * panel_elements(size));
  t.q_rows = operand_take(&scratch, t.padded * wide);
  t.do_rows = operand_take(&scratch, t.padded * wide);
  t.k_rows = operand_take(&scratch, padded_keys * wide);
  t.p = scratch_take(&scratch, MR * QUERY_BLOCK);
  t.dp = scratch_take(&scratch, MR * QUERY_BLOCK);
  t.ds = operand_take(&scratch, QUERY_KEYS * QUERY_BLOCK);
  t.k_strip = operand_take(&scratch, MF_HALF ? MR * wide : 0);
  t.v_strip = operand_take(&scratch, MF_HALF ? MR * wide : 0);
#if MF_BF16_INSTRUCTIONS
  t.seen = operand_take(&scratch, MR * QUERY_BLOCK);
  t.ds_strip = operand_take(&scratch, QUERY_KEYS * W);
#else
  t.seen = t.p;
#endif
  float *dq_sums = scratch_take(&scratch, MF_HALF ? t.padded * wide : 0);
  float *dk_sums = scratch_take(&scratch, MF_HALF ? padded_keys * wide : 0);
  float *dv_sums = scratch_take(&scratch, MF_HALF ? padded_keys * wide : 0);
  act *dk = (act *)args->dk + (t.row + t.key_begin) * args->ld_dkv + t.kv * size;
  act *dv = (act *)args->dv + (t.row + t.key_begin) * args->ld_dkv + t.kv * size;
  if (t.write_keys) {
    t.dk = grad_rows_begin(dk, args->ld_dkv, dk_sums, keys, size);
    t.dv = grad_rows_begin(dv, args->ld_dkv, dv_sums, keys, size);
  }
  grad_ranges(&t, b);
  if (t.write_queries)
    pack_steps(
        (const act *)forward->k + (t.row + t.key_begin) * forward->ld_kv + t.kv * size, forward->ld_kv, keys, size,
        t.k_rows, panel_elements(padded_keys));
  for (int64_t head = t.kv * group; head < (t.kv + 1) * group; head++) {
    act *dq = (act *)args->dq + (t.row + t.query_begin) * args->ld_dq + head * size;
    if (t.write_queries) t.dq = grad_rows_begin(dq, args->ld_dq, dq_sums, queries, size);
    grad_pack_head(&t, head, b);
    for (int64_t block = 0; block < t.padded; block += QUERY_BLOCK)
      for (int64_t key = t.key_begin; key < t.key_end; key += QUERY_KEYS)
        grad_block(&t, block, mf_min(t.padded, block + QUERY_BLOCK), key, mf_min(t.key_end, key + QUERY_KEYS));
    if (t.write_queries) grad_rows_end(&t.dq, dq, args->ld_dq, queries, size);
  }
  if (t.write_keys) {
    grad_rows_end(&t.dk, dk, args->ld_dkv, keys, size);
    grad_rows_end(&t.dv, dv, args->ld_dkv, keys, size);
  }
}

static void attention_grad(mf_pool *pool, const mf_attention_grad *args) {
  if (args->forward.time <= 0) return;
  const int64_t pairs = args->forward.batch * args->forward.kv_heads;
  attention_grad_context context = {args, pool, attention_pieces(pairs, args->forward.time), true, true};
  // Two passes cost 1.4 times the work: only where a single one would leave most of a larger machine idle.
  if (pairs * 4 > MF_ATTENTION_TASKS) context.pieces = 1;
  if (context.pieces == 1) {
    mf_parallel(pool, pairs, attention_grad_task, &context);
    return;
  }
  context.queries_done = false;
  mf_parallel(pool, pairs * context.pieces, attention_grad_task, &context);
  context.queries_done = true;
  context.keys_done = false;
  mf_parallel(pool, pairs * context.pieces, attention_grad_task, &context);
}
