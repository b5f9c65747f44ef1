// Embedding lookup: y_r = scale·table[id_r]; gradient: dtable[id] (+)= scale·Σ over rows with that id of dy_r.
//
// Shapes: ids (rows), table (vocabulary, width), y and dy (rows, width).
// Tasks: forward blocks of rows; gradient blocks of columns, each adding all rows in order (so no two tasks share a
// destination and the order never changes), after a pass that clears the table.
// Bound: bytes (in fp32 8 per element).

enum { MF_EMBEDDING_BLOCK = 16384, MF_EMBEDDING_COLUMNS = 64 };

static void embedding_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_embedding *args = context;
  const int64_t width = args->width, block = mf_rows_per_task(width, MF_EMBEDDING_BLOCK);
  const int64_t start = task * block, end = mf_min(args->rows, start + block);
  for (int64_t row = start; row < end; row++) {
    const act *from = (const act *)args->table + args->ids[row] * width;
    act *y = (act *)args->y + row * width;
    for (int64_t i = 0; i < width; i += W) {
      const int64_t n = v_left(i, width);
      v_store_act_n(y + i, v_load_act_n(from + i, n) * args->scale, n);
    }
  }
}

static void embedding(mf_pool *pool, const mf_embedding *args) {
  const int64_t block = mf_rows_per_task(args->width, MF_EMBEDDING_BLOCK);
  mf_parallel(pool, mf_ceil_div(args->rows, block), embedding_task, (void *)args);
}

static void embedding_clear_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_embedding_grad *args = context;
  const int64_t count = args->vocabulary * args->width, start = task * MF_EMBEDDING_BLOCK;
  memset(args->dtable + start, 0, (size_t)mf_min(MF_EMBEDDING_BLOCK, count - start) * sizeof(float));
}

static void embedding_grad_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_embedding_grad *args = context;
  const int64_t width = args->width, first = task * MF_EMBEDDING_COLUMNS;
  const int64_t columns = mf_min(MF_EMBEDDING_COLUMNS, width - first);
  for (int64_t row = 0; row < args->rows; row++) {
    const act *dy = (const act *)args->dy + row * width + first;
    float *destination = args->dtable + args->ids[row] * width + first;
    for (int64_t i = 0; i < columns; i += W) {
      const int64_t n = v_left(i, columns);
      v_store_n(destination + i, v_load_n(destination + i, n) + v_load_act_n(dy + i, n) * args->scale, n);
    }
  }
}

static void embedding_grad(mf_pool *pool, const mf_embedding_grad *args) {
  if (!args->accumulate)
    mf_parallel(
        pool, mf_ceil_div(args->vocabulary * args->width, MF_EMBEDDING_BLOCK), embedding_clear_task, (void *)args);
  mf_parallel(pool, mf_ceil_div(args->width, MF_EMBEDDING_COLUMNS), embedding_grad_task, (void *)args);
}
