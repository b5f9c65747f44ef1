// Matrix products: C = initial + A·B + bias, A (m, k) or transposed, B (k, n) or transposed, C (m, n).
//
// C is cut into a grid of one block per thread; a task loops over its block by NC columns and KC of k, packs that block
// of B into panels in its scratch (resident in the second-level cache, used by every strip of A), and runs the tile of
// tile.h over strips of at most MR rows. A is read where it lies; only a transposed A is packed, strip by strip.
// Every element is summed over k in blocks of KC, in order, whatever the grid: the bits don't depend on the threads.
// A few rows (generation) or columns left over against a transposed B are dot products instead, without packing.
// Bound: FLOPs (2·m·n·k); with few rows bytes of B.
// Goto & van de Geijn, "Anatomy of high-performance matrix multiplication", TOMS 2008, for the blocking.

enum {
  MF_GEMM_K = 384,                // most of k in one block
  MF_GEMM_PANEL_FLOATS = 1 << 17, // packed B: 512 KiB
};

typedef struct {
  const mf_gemm *args;
  int64_t columns;                 // computed by tiles; the others are dot products
  int64_t k_blocks;
  int64_t strips, panels;          // of the whole C
  int64_t grid_m, grid_n;
} gemm_plan;

MF_INLINE int64_t split_start(int64_t count, int64_t parts, int64_t i) {
  return i * (count / parts) + mf_min(i, count % parts);
}

/// k blocks are equal but for rounding to whole vectors.
MF_INLINE int64_t gemm_block_k(int64_t k, int64_t blocks) { return mf_round_up(mf_max(1, mf_ceil_div(k, blocks)), W); }

static void gemm_strip(
    const gemm_plan *plan, int64_t strip, int64_t p0, int64_t kc, int64_t first_panel, int64_t end_panel,
    const float *packed, float *strip_scratch) {
  const mf_gemm *args = plan->args;
  const int64_t row = strip_start(args->m, plan->strips, strip);
  const int64_t rows = strip_start(args->m, plan->strips, strip + 1) - row;
  tile_args t = {.k = kc, .ldc = args->ldc, .ldb = NR};
  if (args->a_transposed) {
    pack_strip(args->a + p0 * args->lda + row, args->lda, kc, rows, strip_scratch);
    t.a = strip_scratch;
    t.lda = rows;
  } else {
    t.a = args->a + row * args->lda + p0;
    t.lda = args->lda;
  }
  for (int64_t panel = first_panel; panel < end_panel; panel++) {
    const int64_t column = panel * NR;
    t.columns = mf_min(NR, plan->columns - column);
    t.b = packed + (panel - first_panel) * kc * NR;
    t.c = args->c + row * args->ldc + column;
    if (p0 > 0) {
      t.add = t.c;
      t.ld_add = args->ldc;
    } else {
      t.add = args->initial != NULL ? args->initial + row * args->ld_initial + column : NULL;
      t.ld_add = args->ld_initial;
      t.bias = args->bias != NULL ? args->bias + column : NULL;
    }
    tiles[rows][!args->a_transposed][t.columns > W](&t);
  }
}

typedef struct {
  const gemm_plan *plan;
  mf_pool *pool;
} gemm_context;

static void gemm_task(void *opaque, int64_t task, int worker) {
  const gemm_context *context = opaque;
  const gemm_plan *plan = context->plan;
  const mf_gemm *args = plan->args;
  float *packed = mf_pool_scratch(context->pool, worker), *strip_scratch = packed + MF_GEMM_PANEL_FLOATS;
  const int64_t gm = task / plan->grid_n, gn = task % plan->grid_n;
  const int64_t first_strip = split_start(plan->strips, plan->grid_m, gm);
  const int64_t end_strip = split_start(plan->strips, plan->grid_m, gm + 1);
  const int64_t first_panel = split_start(plan->panels, plan->grid_n, gn);
  const int64_t end_panel = split_start(plan->panels, plan->grid_n, gn + 1);
  const int64_t block_k = gemm_block_k(args->k, plan->k_blocks);
  const int64_t fitting = MF_GEMM_PANEL_FLOATS / (block_k * NR);
  const int64_t rounds = mf_ceil_div(end_panel - first_panel, fitting);
  for (int64_t round = 0; round < rounds; round++) {
    const int64_t from = first_panel + split_start(end_panel - first_panel, rounds, round);
    const int64_t to = first_panel + split_start(end_panel - first_panel, rounds, round + 1);
    for (int64_t p0 = 0; p0 == 0 || p0 < args->k; p0 += block_k) {  // k = 0 still writes C
      const int64_t kc = mf_min(block_k, args->k - p0);
      for (int64_t panel = from; panel < to; panel++) {
        const int64_t column = panel * NR, columns = mf_min(NR, plan->columns - column);
        float *destination = packed + (panel - from) * kc * NR;
        if (args->b_transposed) pack_panel_transposed(args->b + column * args->ldb + p0, args->ldb, kc, columns, destination);
        else pack_panel(args->b + p0 * args->ldb + column, args->ldb, kc, columns, destination);
      }
      for (int64_t strip = first_strip; strip < end_strip; strip++)
        gemm_strip(plan, strip, p0, kc, from, to, packed, strip_scratch);
    }
  }
}

// MARK: Dot products

/// C(i, j) for `rows` × `columns` elements with k contiguous in both operands.
MF_INLINE void dot_tile(const mf_gemm *args, int64_t row, int64_t column, const int rows, const int columns) {
  vf acc[4][4];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) acc[i][j] = (vf)0.0f;
  const float *a = args->a + row * args->lda, *b = args->b + column * args->ldb;
  int64_t p = 0;
  for (; p + W <= args->k; p += W) {
    vf x[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) x[i] = v_load(a + i * args->lda + p);
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      const vf y = v_load(b + j * args->ldb + p);
#pragma clang loop unroll(full)
      for (int i = 0; i < rows; i++) acc[i][j] = v_fma(x[i], y, acc[i][j]);
    }
  }
  if (p < args->k) {
    const int64_t n = args->k - p;
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      const vf x = v_load_n(a + i * args->lda + p, n);
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++) acc[i][j] = v_fma(x, v_load_n(b + j * args->ldb + p, n), acc[i][j]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      float value = v_sum(acc[i][j]);
      if (args->initial != NULL) value += args->initial[(row + i) * args->ld_initial + column + j];
      if (args->bias != NULL) value += args->bias[column + j];
      args->c[(row + i) * args->ldc + column + j] = value;
    }
}

/// Rows [row, row + rows) against columns [column, end); tiles of rows × 4, then rows × 1.
MF_INLINE void dot_rows(const mf_gemm *args, int64_t row, const int rows, int64_t column, int64_t end) {
  for (; column + 4 <= end; column += 4) dot_tile(args, row, column, rows, 4);
  for (; column < end; column++) dot_tile(args, row, column, rows, 1);
}

enum { MF_DOT_ROWS = 8, MF_DOT_COLUMNS = 4, MF_DOT_BLOCK = 1 << 15 };

typedef struct {
  const mf_gemm *args;
  int64_t row_block, first_column, column_block, column_tasks;
} dot_context;

static void dot_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const dot_context *context = opaque;
  const mf_gemm *args = context->args;
  const int64_t first_row = task / context->column_tasks * context->row_block;
  const int64_t column = context->first_column + task % context->column_tasks * context->column_block;
  const int64_t end_row = mf_min(args->m, first_row + context->row_block);
  const int64_t end = mf_min(args->n, column + context->column_block);
  int64_t row = first_row;
  for (; row + 4 <= end_row; row += 4) dot_rows(args, row, 4, column, end);
  if (row + 2 <= end_row) {
    dot_rows(args, row, 2, column, end);
    row += 2;
  }
  if (row < end_row) dot_rows(args, row, 1, column, end);
}

/// Columns first_column... of C by dot products; blocks of about MF_DOT_BLOCK elements of the longer operand.
static void gemm_dots(mf_pool *pool, const mf_gemm *args, int64_t first_column) {
  const int64_t columns = args->n - first_column;
  if (columns <= 0 || args->m <= 0) return;
  dot_context context = {.args = args, .first_column = first_column};
  const int64_t block = mf_round_up(mf_rows_per_task(args->k, MF_DOT_BLOCK), 4);
  context.row_block = columns > args->m ? args->m : block;
  context.column_block = columns > args->m ? block : columns;
  context.column_tasks = mf_ceil_div(columns, context.column_block);
  mf_parallel(pool, mf_ceil_div(args->m, context.row_block) * context.column_tasks, dot_task, &context);
}

// MARK: Planning

/// The grid with the least estimated time of its largest block: tiles, packing of B and of a transposed A.
static void gemm_choose_grid(gemm_plan *plan, int64_t threads) {
  const bool b_transposed = plan->args->b_transposed, a_transposed = plan->args->a_transposed;
  const double tile = MR * 2, pack_panel_cost = b_transposed ? 12 : 6, pack_strip_cost = a_transposed ? 3 : 1;
  double best = INFINITY;
  for (int64_t n = 1; n <= mf_min(threads, plan->panels); n++) {
    const int64_t m = mf_min(plan->strips, mf_ceil_div(threads, n));
    const double strips = (double)mf_ceil_div(plan->strips, m), panels = (double)mf_ceil_div(plan->panels, n);
    const double waves = (double)mf_ceil_div(m * n, threads);
    const double cost = waves * (strips * panels * tile + panels * pack_panel_cost + strips * pack_strip_cost);
    if (cost < best) {
      best = cost;
      plan->grid_m = m;
      plan->grid_n = n;
    }
  }
}

static void gemm(mf_pool *pool, const mf_gemm *args) {
  if (args->m <= 0 || args->n <= 0) return;
  const bool dots = args->b_transposed && !args->a_transposed;
  if (dots && args->m <= MF_DOT_ROWS) {
    gemm_dots(pool, args, 0);
    return;
  }
  gemm_plan plan = {.args = args, .columns = args->n, .k_blocks = mf_max(1, mf_ceil_div(args->k, MF_GEMM_K))};
  if (dots && args->n % NR <= MF_DOT_COLUMNS) plan.columns -= args->n % NR;
  if (plan.columns > 0) {
    plan.strips = strip_count(args->m);
    plan.panels = mf_ceil_div(plan.columns, NR);
    gemm_choose_grid(&plan, mf_pool_threads(pool));
    gemm_context context = {&plan, pool};
    mf_parallel(pool, plan.grid_m * plan.grid_n, gemm_task, &context);
  }
  gemm_dots(pool, args, plan.columns);
}
