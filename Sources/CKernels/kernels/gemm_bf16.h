// Matrix products of bf16 with sums in fp32, by the instructions for it: C = initial + A·B + bias as in gemm.h.
//
// C is cut into a grid of one block per thread; a task loops over its block by columns and by k, packs that block of B
// into panels in its scratch (resident in the second-level cache, used by every strip of A), and runs the tile of
// tile_bf16.h over strips of at most MR rows. A is read where it lies, unless it is transposed (its rows are interleaved
// into strips), k is odd, or its rows share a cache set. Every element is summed over k in blocks of block_k, in order,
// whatever the grid: the bits don't depend on the threads. A bf16 C is rounded once: sums over several blocks of k wait
// in scratch.
// A few rows (generation) or columns left over against a transposed B are dot products instead, without packing.
// Bound: FLOPs (2·m·n·k); with few rows bytes of B.

enum {
  MF_GEMM_WHOLE_K = 3072,           // most of k in one block for a bf16 C, which spares sums in scratch
  MF_GEMM_K = 768,                  // most of k in one block otherwise
  MF_GEMM_PANEL_ELEMENTS = 3 << 17, // packed B: at most 768 KiB
  MF_GEMM_STRIP_ELEMENTS = 3 << 16, // of A, copied
  MF_GEMM_SUMS = 1 << 17,           // fp32 sums of a bf16 C
  MF_SET_STRIDE = 2048,             // elements: rows this far apart share one set of the first-level cache
};

typedef struct {
  const mf_gemm *args;
  mf_pool *pool;
  int64_t columns;            // computed by tiles; the others are dot products
  int64_t block_k, k_blocks;
  int64_t block_panels;       // most of packed B
  int64_t panels;             // of the whole C
  gemm_grid grid;
  bool copy_a;
  bool has_sums;              // C is summed in scratch, then rounded
} gemm_plan;

/// A block of C (rows row..<end_row, panels from..<to) and of k (p0 on, kc steps) with B packed for it.
typedef struct {
  int64_t row, end_row;
  int64_t from, to;
  int64_t p0, kc;
  act *b, *strip;
  float *sums;
} gemm_block;

// While a tile of kc/2 steps runs, it fetches kc/8 lines for each operand: four rows with k contiguous, or a vector of
// every row of an eighth of the rows.
enum { FETCH_ROWS = 4, FETCH_PARTS = 8 };

MF_INLINE tile_fetch fetch_nothing(const void *p) { return (tile_fetch){.at = p}; }

/// Four of `rows` rows (k contiguous).
MF_INLINE tile_fetch fetch_rows(const act *p, int64_t ld, int64_t rows, int64_t part) {
  if (part * FETCH_ROWS >= rows) return fetch_nothing(p);
  const int64_t row = mf_max(0, mf_min(part * FETCH_ROWS, rows - FETCH_ROWS));
  return (tile_fetch){(const char *)(p + row * ld), FETCH_ROWS * PAIR, ld * (int64_t)sizeof(act)};
}

/// One line in each of an eighth of k rows.
MF_INLINE tile_fetch fetch_steps(const act *p, int64_t ld, int64_t k, int64_t part) {
  if (part >= FETCH_PARTS) return fetch_nothing(p);
  return (tile_fetch){(const char *)(p + part * (k / FETCH_PARTS) * ld), ld * (int64_t)sizeof(act), 0};
}

/// Where a tile at `row`, `column` sums to and from in this block of k.
MF_INLINE void gemm_set_destination(
    const gemm_plan *plan, const gemm_block *block, int64_t row, int64_t column, pair_tile *t) {
  const mf_gemm *args = plan->args;
  const bool first = block->p0 == 0, last = block->p0 + block->kc >= args->k;
  const int64_t at_c = row * args->ldc + column, ld_sums = (block->to - block->from) * NR;
  float *sums = block->sums + (row - block->row) * ld_sums + (column - block->from * NR);
  t->c_fp32 = args->c_fp32 || !last;
  t->ldc = args->ldc;
  if (args->c_fp32) t->c = (float *)args->c + at_c;
  else if (last) t->c = (act *)args->c + at_c;
  else {
    t->c = sums;
    t->ldc = ld_sums;
  }
  t->add = NULL;
  t->bias = NULL;
  if (!first) {
    t->add_fp32 = true;
    t->add = args->c_fp32 ? t->c : sums;
    t->ld_add = args->c_fp32 ? args->ldc : ld_sums;
    return;
  }
  if (args->bias != NULL) t->bias = args->bias + column;
  if (args->initial == NULL) return;
  const int64_t at = row * args->ld_initial + column;
  t->add_fp32 = args->c_fp32;
  t->ld_add = args->ld_initial;
  t->add = args->c_fp32 ? (const void *)((const float *)args->initial + at) : (const act *)args->initial + at;
}

/// What the tile of panel `panel` (from 0) in the block's strip `strip` is to fetch of the block of B after this one.
MF_INLINE tile_fetch gemm_fetch_b(const gemm_plan *plan, const gemm_block *next, int64_t panel, int64_t strip) {
  const mf_gemm *args = plan->args;
  const act *b = args->b;
  const int64_t column = mf_min((next->from + panel) * NR, plan->columns - 1);
  if (next->kc == 0) return fetch_nothing(b);
  if (args->b_transposed)
    return fetch_rows(b + column * args->ldb + next->p0, args->ldb, mf_min(NR, plan->columns - column), strip);
  return fetch_steps(b + next->p0 * args->ldb + column, args->ldb, next->kc, strip);
}

/// What the tile numbered `done` since the present strips of A were packed (or begun) is to fetch of the ones after them:
/// at `row` in `block`.
MF_INLINE tile_fetch gemm_fetch_a(const gemm_plan *plan, const gemm_block *block, int64_t row, int64_t done) {
  const mf_gemm *args = plan->args;
  const act *a = args->a;
  const int64_t rows = mf_min(MR, block->end_row - row);
  if (block->kc == 0) return fetch_nothing(a);
  if (!args->a_transposed) return fetch_rows(a + row * args->lda + block->p0, args->lda, rows, done);
  a += block->p0 * args->lda + row;
  if (done < FETCH_PARTS) return fetch_steps(a, args->lda, block->kc, done);
  return fetch_steps(a + mf_min(2 * MR, block->end_row - row) - 1, args->lda, block->kc, done - FETCH_PARTS);
}

/// The block's strips of A against all its panels.
static void gemm_strips(const gemm_plan *plan, const gemm_block *block, const gemm_block *next) {
  const mf_gemm *args = plan->args;
  const int64_t rows = block->end_row - block->row, strips = strip_count(rows), panels = block->to - block->from;
  const int64_t panel_stride = mf_ceil_div(block->kc, 2) * PANEL_STEP;
  const int64_t strip_stride = mf_ceil_div(block->kc, 2) * STRIP_STEP;
  int64_t packed_end = 0;
  pair_tile t = {.pairs = mf_ceil_div(block->kc, 2)};
  for (int64_t strip = 0; strip < strips; strip++) {
    const int64_t row = block->row + split_start(rows, strips, strip);
    const int64_t end = block->row + split_start(rows, strips, strip + 1);
    const act *a = args->a;
    if (args->a_transposed) {
      if (strip % 2 == 0) {
        packed_end = strip + 1 == strips ? end : block->row + split_start(rows, strips, strip + 2);
        pack_pair_strips(
            a + block->p0 * args->lda + row, args->lda, block->kc, end - row, packed_end - row, block->strip,
            block->strip + strip_stride, block->from == 0 && args->a_sums != NULL ? args->a_sums + row : NULL,
            args->accumulate_a_sums || block->p0 > 0);
      }
      t.a = (const char *)(block->strip + strip % 2 * strip_stride);
      t.row_stride = PAIR;
      t.step_stride = STRIP_STEP * sizeof(act);
    } else {
      a += row * args->lda + block->p0;
      int64_t ld = args->lda;
      if (plan->copy_a) {
        ld = mf_round_up(block->kc, 2 * W) + 2 * W;
        copy_pair_rows(a, args->lda, end - row, block->kc, block->strip, ld);
        a = block->strip;
      }
      packed_end = end;
      t.a = (const char *)a;
      t.row_stride = ld * (int64_t)sizeof(act);
      t.step_stride = PAIR;
    }
    for (int64_t panel = block->from; panel < block->to; panel++) {
      const int64_t column = panel * NR, done = panel - block->from;
      t.columns = mf_min(NR, plan->columns - column);
      t.b = block->b + done * panel_stride;
      gemm_set_destination(plan, block, row, column, &t);
      const int64_t tile = done + (args->a_transposed ? strip % 2 * panels : 0);
      const bool is_last = packed_end == block->end_row;
      t.fetch_a = gemm_fetch_a(plan, is_last ? next : block, is_last ? next->row : packed_end, tile);
      t.fetch_b = gemm_fetch_b(plan, next, done, strip);
      pair_tiles[end - row][t.columns > W](&t);
    }
    // Columns left over, while the strip is in the cache.
    if (block->p0 == 0 && block->to == plan->panels) dot_strip(args, row, end, plan->columns, args->n);
  }
}

/// Packs the block's part of B.
static void gemm_pack_b(const gemm_plan *plan, const gemm_block *block) {
  const mf_gemm *args = plan->args;
  const act *b = args->b;
  const int64_t column = block->from * NR, columns = mf_min(plan->columns, block->to * NR) - column;
  const int64_t stride = mf_ceil_div(block->kc, 2) * PANEL_STEP;
  if (args->b_transposed)
    for (int64_t j = 0; j < columns; j += NR)
      pack_pair_panel(
          b + (column + j) * args->ldb + block->p0, args->ldb, block->kc, mf_min(NR, columns - j),
          block->b + j / NR * stride);
  else pack_pair_rows(b + block->p0 * args->ldb + column, args->ldb, block->kc, columns, block->b, stride);
}

static void gemm_task(void *opaque, int64_t task, int worker) {
  const gemm_plan *plan = opaque;
  const mf_gemm *args = plan->args;
  const int64_t gm = task / plan->grid.n, gn = task % plan->grid.n;
  const int64_t first_row = split_start(args->m, plan->grid.m, gm);
  const int64_t end_row = split_start(args->m, plan->grid.m, gm + 1);
  const int64_t first_panel = split_start(plan->panels, plan->grid.n, gn);
  const int64_t panels = split_start(plan->panels, plan->grid.n, gn + 1) - first_panel;
  const int64_t rounds = mf_ceil_div(panels, plan->block_panels);
  act *scratch = mf_pool_scratch(plan->pool, worker);
  gemm_block block = {.b = scratch, .strip = scratch + MF_GEMM_PANEL_ELEMENTS};
  block.sums = (float *)(block.strip + MF_GEMM_STRIP_ELEMENTS);
  for (int64_t round = 0; round < rounds; round++) {
    block.from = first_panel + split_start(panels, rounds, round);
    block.to = first_panel + split_start(panels, rounds, round + 1);
    // Sums over blocks of k: no more rows at a time than there is room for; B is packed again for the next.
    const int64_t most = plan->has_sums ? MF_GEMM_SUMS / ((block.to - block.from) * NR * MR) * MR : end_row - first_row;
    const int64_t chunks = mf_ceil_div(end_row - first_row, mf_max(MR, most));
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
      block.row = first_row + split_start(end_row - first_row, chunks, chunk);
      block.end_row = first_row + split_start(end_row - first_row, chunks, chunk + 1);
      for (int64_t kb = 0; kb < plan->k_blocks; kb++) {
        block.p0 = kb * plan->block_k;
        block.kc = mf_min(plan->block_k, args->k - block.p0);
        gemm_block next = block;
        next.kc = 0;
        if (kb + 1 < plan->k_blocks) {
          next.p0 = block.p0 + block.kc;
          next.kc = mf_min(plan->block_k, args->k - next.p0);
        } else if (round + 1 < rounds || chunk + 1 < chunks) {
          next.p0 = 0;
          next.kc = mf_min(plan->block_k, args->k);
          next.row = chunk + 1 < chunks ? block.end_row : first_row;
          if (chunk + 1 == chunks) {
            next.from = next.to;
            next.to = first_panel + split_start(panels, rounds, round + 2);
          }
        }
        gemm_pack_b(plan, &block);
        gemm_strips(plan, &block, &next);
      }
    }
  }
}

// MARK: Planning

static gemm_plan gemm_make_plan(mf_pool *pool, const mf_gemm *args, int64_t columns, int64_t threads) {
  gemm_plan plan = {.args = args, .pool = pool, .columns = columns};
  plan.panels = mf_ceil_div(plan.columns, NR);
  // The blocks of k are equal but for rounding to whole vectors, and don't depend on anything but k: so do the bits.
  const int64_t most_k = args->c_fp32 || args->k > MF_GEMM_WHOLE_K ? MF_GEMM_K : MF_GEMM_WHOLE_K;
  plan.block_k = mf_round_up(mf_max(1, mf_ceil_div(args->k, mf_max(1, mf_ceil_div(args->k, most_k)))), 2 * W);
  plan.k_blocks = mf_max(1, mf_ceil_div(args->k, plan.block_k));
  plan.has_sums = plan.k_blocks > 1 && !args->c_fp32;
  plan.block_panels = MF_GEMM_PANEL_ELEMENTS / (plan.has_sums ? 2 : 1) / (plan.block_k * NR);
  plan.copy_a = args->k % 2 == 1 || args->lda % MF_SET_STRIDE == 0;
  plan.grid = gemm_choose_grid(args, plan.panels, threads);
  return plan;
}

static void gemm(mf_pool *pool, const mf_gemm *args) {
  if (args->m <= 0 || args->n <= 0) return;
  const int64_t columns = gemm_tile_columns(args);
  if (columns == 0) {
    gemm_dots(pool, args);
    return;
  }
  gemm_plan plan = gemm_make_plan(pool, args, columns, mf_pool_threads(pool));
  mf_parallel(pool, plan.grid.m * plan.grid.n, gemm_task, &plan);
}

/// All of C inside of a worker's task; no a_sums.
static void gemm_alone(mf_pool *pool, int worker, const mf_gemm *args) {
  const int64_t columns = gemm_tile_columns(args);
  if (columns == 0) {
    dot_strip(args, 0, args->m, 0, args->n);
    return;
  }
  gemm_plan plan = gemm_make_plan(pool, args, columns, 1);
  gemm_task(&plan, 0, worker);
}
