// What products share, whatever they multiply with: dot products, and the grid of tasks.
//
// A few rows (generation) or columns left over against a transposed B are dot products, which read B without packing it.
// Bound: bytes of B.

enum {
  MF_DOT_ROWS = 8,         // rows of C up to which all of it is dot products
  MF_DOT_COLUMNS = 4,      // columns behind the last whole panel up to which they are
  MF_DOT_BYTES = 1 << 17,  // of the longer operand in a task of dot products
};

// A step of k: a vector of each operand.
#if MF_BF16_INSTRUCTIONS
typedef vd dot_vector;
enum { DOT_STEP = 2 * W, DOT_SIZE = sizeof(act) };
MF_INLINE dot_vector dot_load(const act *p) { return v_load_pairs(p); }
MF_INLINE dot_vector dot_load_n(const act *p, int64_t n) { return v_load_pairs_n(p, n); }
MF_INLINE vf dot_add(dot_vector x, dot_vector y, vf sum) { return v_dot(x, y, sum); }
#else
typedef vf dot_vector;
enum { DOT_STEP = W, DOT_SIZE = sizeof(float) };
MF_INLINE dot_vector dot_load(const act *p) { return v_load_act(p); }
MF_INLINE dot_vector dot_load_n(const act *p, int64_t n) { return v_load_act_n(p, n); }
MF_INLINE vf dot_add(dot_vector x, dot_vector y, vf sum) { return v_fma(x, y, sum); }
#endif

MF_INLINE float gemm_load_c(const mf_gemm *args, const void *c, int64_t i) {
  return MF_HALF && !args->c_fp32 ? load_act((const act *)c + i) : ((const float *)c)[i];
}

MF_INLINE void gemm_store_c(const mf_gemm *args, int64_t i, float value) {
  if (MF_HALF && !args->c_fp32) store_act((act *)args->c + i, value);
  else ((float *)args->c)[i] = value;
}

/// C(i, j) for `rows` × `columns` elements with k contiguous in both operands.
MF_INLINE void dot_tile(const mf_gemm *args, int64_t row, int64_t column, const int rows, const int columns) {
  vf acc[4][4];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) acc[i][j] = (vf)0.0f;
  const act *a = (const act *)args->a + row * args->lda, *b = (const act *)args->b + column * args->ldb;
  int64_t p = 0;
  for (; p + DOT_STEP <= args->k; p += DOT_STEP) {
    dot_vector x[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) x[i] = dot_load(a + i * args->lda + p);
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      const dot_vector y = dot_load(b + j * args->ldb + p);
#pragma clang loop unroll(full)
      for (int i = 0; i < rows; i++) acc[i][j] = dot_add(x[i], y, acc[i][j]);
    }
  }
  if (p < args->k) {
    const int64_t n = args->k - p;
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      const dot_vector x = dot_load_n(a + i * args->lda + p, n);
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++) acc[i][j] = dot_add(x, dot_load_n(b + j * args->ldb + p, n), acc[i][j]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      float value = v_sum(acc[i][j]);
      if (args->initial != NULL) value += gemm_load_c(args, args->initial, (row + i) * args->ld_initial + column + j);
      if (args->bias != NULL) value += args->bias[column + j];
      gemm_store_c(args, (row + i) * args->ldc + column + j, value);
    }
}

/// Rows [row, row + rows) against columns [column, end); tiles of rows × 4, then rows × 1.
MF_INLINE void dot_rows(const mf_gemm *args, int64_t row, const int rows, int64_t column, int64_t end) {
  for (; column + 4 <= end; column += 4) dot_tile(args, row, column, rows, 4);
  for (; column < end; column++) dot_tile(args, row, column, rows, 1);
}

typedef struct {
  const mf_gemm *args;
  int64_t row_block, column_block, column_tasks;
} dot_context;

static void dot_strip(const mf_gemm *args, int64_t row, int64_t end_row, int64_t column, int64_t end) {
  for (; row + 4 <= end_row; row += 4) dot_rows(args, row, 4, column, end);
  for (; row + 2 <= end_row; row += 2) dot_rows(args, row, 2, column, end);
  if (row < end_row) dot_rows(args, row, 1, column, end);
}

static void dot_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const dot_context *context = opaque;
  const mf_gemm *args = context->args;
  const int64_t first_row = task / context->column_tasks * context->row_block;
  const int64_t column = task % context->column_tasks * context->column_block;
  dot_strip(
      args, first_row, mf_min(args->m, first_row + context->row_block), column,
      mf_min(args->n, column + context->column_block));
}

/// All of C by dot products; blocks of about MF_DOT_BYTES of the longer operand.
static void gemm_dots(mf_pool *pool, const mf_gemm *args) {
  dot_context context = {.args = args};
  const int64_t block = mf_round_up(mf_rows_per_task(args->k, MF_DOT_BYTES / DOT_SIZE), 4);
  context.row_block = args->n > args->m ? args->m : block;
  context.column_block = args->n > args->m ? block : args->n;
  context.column_tasks = mf_ceil_div(args->n, context.column_block);
  mf_parallel(pool, mf_ceil_div(args->m, context.row_block) * context.column_tasks, dot_task, &context);
}

/// The columns of C that are left to tiles. Those behind them, if any, are left to dot_strip; where there are none, all of
/// C is.
static int64_t gemm_tile_columns(const mf_gemm *args) {
  const bool dots = args->b_transposed && !args->a_transposed;
  if (dots && args->m <= MF_DOT_ROWS) return 0;
  return dots && args->n % NR <= MF_DOT_COLUMNS ? args->n - args->n % NR : args->n;
}

// MARK: The grid of tasks

typedef struct {
  int64_t m, n;
} gemm_grid;

/// The grid with the least estimated time of its largest block: tiles, packing of B, reading of A.
static gemm_grid gemm_choose_grid(const mf_gemm *args, int64_t panels, int64_t threads) {
  const int64_t strips = strip_count(args->m);
  // In steps of a tile's loop. What is packed is mostly read from main memory, which all threads share.
  const double tile = MR * 2, pack_panel_cost = args->b_transposed ? 16 : 12, pack_strip_cost = args->a_transposed ? 10 : 2;
  gemm_grid grid = {1, 1};
  double best = INFINITY;
  for (int64_t n = 1; n <= mf_min(threads, panels); n++) {
    const int64_t m = mf_min(strips, mf_ceil_div(threads, n));
    const double most_strips = (double)mf_ceil_div(strips, m), most_panels = (double)mf_ceil_div(panels, n);
    const double waves = (double)mf_ceil_div(m * n, threads);
    const double cost =
        waves * (most_strips * most_panels * tile + most_panels * pack_panel_cost + most_strips * pack_strip_cost);
    if (cost < best) {
      best = cost;
      grid = (gemm_grid){m, n};
    }
  }
  return grid;
}
