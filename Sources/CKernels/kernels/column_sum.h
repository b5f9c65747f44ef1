// The sum over rows y_j (+)= Σ_i x_ij: the gradient of a bias.
//
// Shapes: (rows, width) → (width). Tasks: at most MF_ROW_BLOCKS blocks of rows, whose sums are added in order.
// Bound: bytes (each element read once).

typedef struct {
  int64_t rows, width, ld, block;
  const act *x;
  float *partials;
} column_context;

static void column_task(void *context, int64_t task, MF_UNUSED int worker) {
  const column_context *args = context;
  const int64_t width = args->width, ld = args->ld, start = task * args->block;
  const int64_t end = mf_min(args->rows, start + args->block);
  float *sums = args->partials + task * width;
  memset(sums, 0, (size_t)width * sizeof *sums);
  int64_t row = start;
  for (; row + 4 <= end; row += 4) {
    const act *x = args->x + row * ld;
    for (int64_t j = 0; j < width; j += W) {
      const int64_t n = v_left(j, width);
      const vf upper = v_load_act_n(x + j, n) + v_load_act_n(x + ld + j, n);
      const vf lower = v_load_act_n(x + 2 * ld + j, n) + v_load_act_n(x + 3 * ld + j, n);
      v_store_n(sums + j, v_load_n(sums + j, n) + (upper + lower), n);
    }
  }
  for (; row < end; row++)
    for (int64_t j = 0; j < width; j += W) {
      const int64_t n = v_left(j, width);
      v_store_n(sums + j, v_load_n(sums + j, n) + v_load_act_n(args->x + row * ld + j, n), n);
    }
}

static void column_sum(
    mf_pool *pool, int64_t rows, int64_t width, const void *x, int64_t ld, float *y, bool accumulate) {
  column_context context = {rows, width, ld, rows_per_block(rows), x, mf_pool_scratch(pool, 0)};
  const int64_t blocks = mf_ceil_div(rows, context.block);
  mf_parallel(pool, blocks, column_task, &context);
  add_partials(blocks, width, context.partials, width, y, accumulate);
}
