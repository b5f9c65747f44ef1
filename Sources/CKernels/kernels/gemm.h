// Matrix products: C = initial + A·B + bias, A (m, k) or transposed, B (k, n) or transposed, C (m, n).
//
// C is cut into a grid of one block per thread; a task loops over its block by NC columns and KC of k, packs that block
// of B into panels in its scratch (resident in the second-level cache, used by every strip of A), and runs the tile of
// tile.h over strips of at most MR rows. A is read where it lies, but for rows so far apart that they share a cache set.
// Every element is summed over k in blocks of KC, in order, whatever the grid: the bits don't depend on the threads.
// A few rows (generation) or columns left over against a transposed B are dot products instead, without packing.
// Halves are widened when they are packed, A too; a C of halves is summed over all of k in fp32 and rounded once.
// Bound: FLOPs (2·m·n·k); with few rows bytes of B.
// Goto & van de Geijn, "Anatomy of high-performance matrix multiplication", TOMS 2008, for the blocking.

enum {
  MF_GEMM_K = 512,                 // most of k in one block
  MF_GEMM_PANEL_FLOATS = 1 << 17,  // packed B: at most 512 KiB
  MF_GEMM_STRIP_FLOATS = 1 << 14,  // a copied strip of A
  MF_GEMM_SUM_FLOATS = 1 << 17,    // sums of a C of halves
  MF_CACHED_FLOATS = 3 << 16,      // an operand of 768 KiB is taken to be in the second-level cache already
  MF_PREFETCH_STRIPS = 40,         // with more strips than these, packing B is a small part of the work
  MF_UNPACKED_STRIPS = 8,          // up to so many strips a B of any size is read in place
  MF_STEP_STRIDE = 128,            // floats: steps a multiple of this apart share few sets of the first-level cache
  MF_UNCOPIED_PANELS = 3,          // up to so many panels a strip is read too seldom to pay for a copy
  MF_SET_STRIDE = 1024,            // floats: rows this far apart share one set of the first-level cache
};

typedef struct {
  const mf_gemm *args;
  int64_t columns;            // computed by tiles; the others are dot products
  int64_t block_k, k_blocks;
  int64_t block_floats;       // of packed B
  int64_t strips, panels;     // of the whole C
  gemm_grid grid;
  bool copy_a, b_in_place, prefetch_a, prefetch_b;
  bool c_halves;              // C is summed in scratch, then rounded
} gemm_plan;

/// A block of C's columns (panels from..<to) and of k (p0 on, kc steps) with B packed for it.
typedef struct {
  int64_t p0, kc;
  int64_t from, to;
  const float *b; int64_t ldb, panel_stride;  // B's panels, packed or in place
  float *strip_copy;
  float *sums; int64_t ld_sums;               // c_halves: of all rows and columns of the block, or of one tile
} gemm_block;

/// Fetches rows [part, part + 1)·rows/parts of a matrix into the second-level cache, so that memory's latency hides
/// behind the tiles computed meanwhile.
MF_INLINE void prefetch_rows(const act *p, int64_t ld, int64_t rows, int64_t columns, int64_t part, int64_t parts) {
  enum { LINE = 64 / sizeof *p };
  for (int64_t r = part * rows / parts; r < (part + 1) * rows / parts; r++) {
    for (int64_t j = 0; j < columns; j += LINE) __builtin_prefetch(p + r * ld + j, 0, 2);
    __builtin_prefetch(p + r * ld + columns - 1, 0, 2);
  }
}

enum { FETCH_ROWS = 4 };  // rows (or share of steps) of A that a tile's loop fetches on the way

/// What panel `done`'s tile is to fetch of the strip of A after this one; the last panel's also what no tile fetches.
MF_INLINE const act *gemm_fetch_a(
    const gemm_plan *plan, const gemm_block *block, int64_t strip, int64_t done, int64_t panels) {
  const mf_gemm *args = plan->args;
  const act *origin = args->a;
  const int64_t row = split_start(args->m, plan->strips, strip + 1);
  if (args->a_transposed) return done < FETCH_ROWS ? origin + (block->p0 + done) * args->lda + row + MR - 1 : NULL;
  const int64_t rows = split_start(args->m, plan->strips, strip + 2) - row, at = done * FETCH_ROWS;
  const act *a = origin + (row + at) * args->lda + block->p0;
  if (done == panels - 1 && at + FETCH_ROWS < rows)
    prefetch_rows(a + FETCH_ROWS * args->lda, args->lda, rows - at - FETCH_ROWS, block->kc, 0, 1);
  return at < rows ? a : NULL;
}

/// Part of the block of B after this one.
MF_INLINE void gemm_fetch_b(const gemm_plan *plan, const gemm_block *next, int64_t part, int64_t parts) {
  const mf_gemm *args = plan->args;
  const act *b = args->b;
  const int64_t column = next->from * NR, columns = mf_min(plan->columns, next->to * NR) - column;
  if (args->b_transposed) prefetch_rows(b + column * args->ldb + next->p0, args->ldb, columns, next->kc, part, parts);
  else prefetch_rows(b + next->p0 * args->ldb + column, args->ldb, next->kc, columns, part, parts);
}

/// Adds what C begins with to the sums of a tile at (row, column) and rounds them into C.
MF_INLINE void gemm_round_tile(
    const mf_gemm *args, int64_t row, int64_t rows, int64_t column, int64_t columns, const float *sums, int64_t ld) {
  const act *initial = args->initial;
  act *c = args->c;
  for (int64_t r = row; r < row + rows; r++, sums += ld)
    for (int64_t j = 0; j < columns; j += W) {
      const int64_t n = v_left(j, columns);
      vf value = v_load_n(sums + j, n);
      if (initial != NULL) value += v_load_act_n(initial + r * args->ld_initial + column + j, n);
      v_store_act_n(c + r * args->ldc + column + j, value, n);
    }
}

/// Strips first..<end of A, read where they lie or copied, against all panels of the block.
static void gemm_strips(
    const gemm_plan *plan, const gemm_block *block, const gemm_block *next, int64_t first, int64_t end) {
  const mf_gemm *args = plan->args;
  const int64_t panels = block->to - block->from, first_row = split_start(args->m, plan->strips, first);
  const bool is_last = block->p0 + block->kc >= args->k;
  for (int64_t strip = first; strip < end; strip++) {
    const int64_t row = split_start(args->m, plan->strips, strip);
    const int64_t rows = split_start(args->m, plan->strips, strip + 1) - row;
    tile_args t = {.k = block->kc, .lda = args->lda, .ldc = args->ldc, .ldb = block->ldb};
    const act *a = args->a;
    a += args->a_transposed ? block->p0 * args->lda + row : row * args->lda + block->p0;
    if (plan->copy_a) {
      t.lda = args->a_transposed ? mf_round_up(MR, W) : mf_round_up(block->kc, W) + W;
      copy_rows(
          a, args->lda, args->a_transposed ? block->kc : rows, args->a_transposed ? rows : block->kc,
          block->strip_copy, t.lda);
      t.a = block->strip_copy;
    } else {
      t.a = (const float *)a;
    }
    for (int64_t panel = block->from; panel < block->to; panel++) {
      const int64_t column = panel * NR, done = panel - block->from;
      t.columns = mf_min(NR, plan->columns - column);
      t.b = block->b + done * block->panel_stride;
      if (plan->c_halves) {
        t.ldc = block->ld_sums;
        t.c = plan->k_blocks == 1 ? block->sums : block->sums + (row - first_row) * t.ldc + done * NR;
      } else {
        t.c = (float *)args->c + row * args->ldc + column;
      }
      if (block->p0 > 0) {
        t.add = t.c;
        t.ld_add = t.ldc;
      } else {
        t.add = args->initial != NULL && !plan->c_halves
                    ? (const float *)args->initial + row * args->ld_initial + column : NULL;
        t.ld_add = args->ld_initial;
        t.bias = args->bias != NULL ? args->bias + column : NULL;
      }
      t.fetch = plan->prefetch_a && strip + 1 < end
                    ? (const float *)gemm_fetch_a(plan, block, strip, done, panels) : NULL;
      if (plan->prefetch_b && next->kc > 0)
        gemm_fetch_b(plan, next, (strip - first) * panels + done, (end - first) * panels);
      tiles[rows][!args->a_transposed][t.columns > W](&t);
      if (plan->c_halves && is_last) gemm_round_tile(args, row, rows, column, t.columns, t.c, t.ldc);
    }
    // Columns left over, while the strip is in the cache.
    if (block->p0 == 0 && block->to == plan->panels) dot_strip(args, row, row + rows, plan->columns, args->n);
  }
}

typedef struct {
  const gemm_plan *plan;
  mf_pool *pool;
} gemm_context;

/// Packs the block's part of B, or refers to B itself.
static void gemm_prepare(const gemm_plan *plan, gemm_block *block, float *packed) {
  const mf_gemm *args = plan->args;
  const act *b = args->b;
  const int64_t column = block->from * NR, columns = mf_min(plan->columns, block->to * NR) - column;
  if (plan->b_in_place) {
    block->b = (const float *)b + block->p0 * args->ldb + column;
    block->ldb = args->ldb;
    block->panel_stride = NR;
    return;
  }
  block->b = packed;
  block->ldb = NR;
  block->panel_stride = block->kc * NR;
  if (args->b_transposed)
    for (int64_t j = 0; j < columns; j += NR)
      pack_panel_transposed(
          b + (column + j) * args->ldb + block->p0, args->ldb, block->kc, mf_min(NR, columns - j),
          packed + j / NR * block->panel_stride);
  else pack_rows(b + block->p0 * args->ldb + column, args->ldb, block->kc, columns, packed, block->panel_stride);
}

/// Strips first..<end against panels first_panel... of B, block by block of B.
static void gemm_blocks(
    const gemm_plan *plan, int64_t first, int64_t end, int64_t first_panel, int64_t panels, int64_t rounds,
    float *packed) {
  const int64_t blocks = rounds * plan->k_blocks;
  float *strip_copy = packed + MF_GEMM_PANEL_FLOATS, *sums = strip_copy + MF_GEMM_STRIP_FLOATS;
  gemm_block block = {};
  for (int64_t i = 0; i <= blocks; i++) {
    // Block i is looked ahead to while block i − 1 is computed.
    const int64_t round = i / plan->k_blocks;
    gemm_block next = {.p0 = i % plan->k_blocks * plan->block_k, .strip_copy = strip_copy, .sums = sums};
    if (i < blocks) {
      next.kc = mf_min(plan->block_k, plan->args->k - next.p0);
      next.from = first_panel + split_start(panels, rounds, round);
      next.to = first_panel + split_start(panels, rounds, round + 1);
      next.ld_sums = plan->k_blocks == 1 ? NR : (next.to - next.from) * NR;
    }
    if (i > 0) {
      gemm_prepare(plan, &block, packed);
      gemm_strips(plan, &block, &next, first, end);
    }
    block = next;
  }
}

static void gemm_task(void *opaque, int64_t task, int worker) {
  const gemm_context *context = opaque;
  const gemm_plan *plan = context->plan;
  const int64_t gm = task / plan->grid.n, gn = task % plan->grid.n;
  const int64_t end = split_start(plan->strips, plan->grid.m, gm + 1);
  const int64_t first_panel = split_start(plan->panels, plan->grid.n, gn);
  const int64_t panels = split_start(plan->panels, plan->grid.n, gn + 1) - first_panel;
  const int64_t rounds = mf_ceil_div(panels, mf_max(1, plan->block_floats / (plan->block_k * NR)));
  int64_t strip = split_start(plan->strips, plan->grid.m, gm), chunk = end - strip;
  // Sums of halves over blocks of k: no more rows at a time than there is room for; B is packed again for the next.
  if (plan->c_halves && plan->k_blocks > 1)
    chunk = mf_max(1, MF_GEMM_SUM_FLOATS / (MR * mf_ceil_div(panels, rounds) * NR));
  for (; strip < end; strip += chunk)
    gemm_blocks(
        plan, strip, mf_min(end, strip + chunk), first_panel, panels, rounds, mf_pool_scratch(context->pool, worker));
}

// MARK: Planning

static gemm_plan gemm_make_plan(const mf_gemm *args, int64_t columns, int64_t threads) {
  gemm_plan plan = {.args = args, .columns = columns, .strips = strip_count(args->m)};
  plan.panels = mf_ceil_div(plan.columns, NR);
  // The blocks of k are equal but for rounding to whole vectors, and don't depend on anything but k: so do the bits.
  plan.block_k = mf_round_up(mf_max(1, mf_ceil_div(args->k, mf_max(1, mf_ceil_div(args->k, MF_GEMM_K)))), W);
  plan.k_blocks = mf_max(1, mf_ceil_div(args->k, plan.block_k));
  // What fits into the second-level cache stays there by itself.
  plan.prefetch_a = !MF_HALF && args->m * args->k > MF_CACHED_FLOATS;
  plan.prefetch_b = args->n * args->k > MF_CACHED_FLOATS && plan.strips <= MF_PREFETCH_STRIPS;
  plan.block_floats = plan.prefetch_b ? MF_GEMM_PANEL_FLOATS / 2 : MF_GEMM_PANEL_FLOATS;
  // Steps of k in few sets push each other out of the first-level cache, from panel to panel.
  plan.copy_a = MF_HALF || args->lda % MF_SET_STRIDE == 0
                || (args->a_transposed && args->lda % MF_STEP_STRIDE == 0 && plan.panels > MF_UNCOPIED_PANELS);
  plan.c_halves = MF_HALF && !args->c_fp32;
  // Packing pays where many strips reuse what the second-level cache would not hold as it lies.
  plan.b_in_place = !MF_HALF && !args->b_transposed && args->n % NR == 0 && args->ldb % MF_SET_STRIDE != 0
                    && (plan.strips <= MF_UNPACKED_STRIPS || args->n * args->k <= MF_CACHED_FLOATS);
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
  if (args->a_sums != NULL) column_sum(pool, args->k, args->m, args->a, args->lda, args->a_sums, args->accumulate_a_sums);
  const gemm_plan plan = gemm_make_plan(args, columns, mf_pool_threads(pool));
  gemm_context context = {&plan, pool};
  mf_parallel(pool, plan.grid.m * plan.grid.n, gemm_task, &context);
}

/// All of C inside of a worker's task; no a_sums.
static void gemm_alone(mf_pool *pool, int worker, const mf_gemm *args) {
  const int64_t columns = gemm_tile_columns(args);
  if (columns == 0) {
    dot_strip(args, 0, args->m, 0, args->n);
    return;
  }
  const gemm_plan plan = gemm_make_plan(args, columns, 1);
  gemm_task(&(gemm_context){&plan, pool}, 0, worker);
}
