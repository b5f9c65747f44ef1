// RMS normalization of single heads inside packed rows (query/key norm), forward and backward.
//
// y_h = x_h·rstd_h·w, rstd_h = 1/√(mean(x_h²) + ε); w is the query's for h < query_heads, else the key's.
// Gradients as in norm.h, per head; columns behind the heads are copied in both directions.
// Shapes: x, y, dx, dy (rows, ld) with head h at columns h·D; rstd (rows, heads); weights (D).
// Tasks: blocks of rows; backward at most MF_ROW_BLOCKS, each with partial weight gradients, added in order.
// Bound: bytes (in fp32 8 per element forward, 12 backward).
// Henry et al., arXiv:2010.04245; Dehghani et al., arXiv:2302.05442.

MF_INLINE void copy_tail(const act *x, act *y, int64_t from, int64_t to) {
  if (x != y && to > from) memcpy(y + from, x + from, (size_t)(to - from) * sizeof *y);
}

static void head_norm_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_head_norm *args = context;
  const int64_t size = args->head_size, block = mf_rows_per_task(args->ld, MF_NORM_BLOCK);
  const int64_t start = task * block, end = mf_min(args->rows, start + block);
  const float inverse = 1.0f / (float)size;
  for (int64_t row = start; row < end; row++) {
    const act *x = (const act *)args->x + row * args->ld;
    act *y = (act *)args->y + row * args->ld;
    for (int64_t head = 0; head < args->heads; head++) {
      const float *weight = head < args->query_heads ? args->query_weight : args->key_weight;
      const float rstd = 1.0f / sqrtf(row_squares(x + head * size, 0.0f, size) * inverse + args->epsilon);
      args->rstd[row * args->heads + head] = rstd;
      row_normalize(x + head * size, 0.0f, rstd, weight, NULL, y + head * size, size);
    }
    copy_tail(x, y, args->heads * size, args->ld);
  }
}

static void head_norm(mf_pool *pool, const mf_head_norm *args) {
  const int64_t block = mf_rows_per_task(args->ld, MF_NORM_BLOCK);
  mf_parallel(pool, mf_ceil_div(args->rows, block), head_norm_task, (void *)args);
}

typedef struct {
  const mf_head_norm_grad *args;
  int64_t block;
  float *partials;  // per block: dquery_weight (D) then dkey_weight (D)
} head_norm_grad_context;

static void head_norm_grad_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const head_norm_grad_context *context = opaque;
  const mf_head_norm_grad *args = context->args;
  const int64_t size = args->head_size, start = task * context->block;
  const int64_t end = mf_min(args->rows, start + context->block);
  const float inverse = 1.0f / (float)size;
  float *partial = context->partials + task * 2 * size;
  memset(partial, 0, (size_t)size * 2 * sizeof *partial);
  for (int64_t row = start; row < end; row++) {
    const act *x = (const act *)args->x + row * args->ld, *dy = (const act *)args->dy + row * args->ld;
    act *dx = (act *)args->dx + row * args->ld;
    for (int64_t head = 0; head < args->heads; head++) {
      const bool query = head < args->query_heads;
      const float *weight = query ? args->query_weight : args->key_weight;
      float *dweight = partial + (query ? 0 : size);
      const float rstd = args->rstd[row * args->heads + head];
      const int64_t at = head * size;
      norm_sums means = norm_grad_sums(x + at, 0.0f, rstd, weight, dy + at, dweight, NULL, size);
      means.sum = 0.0f;
      means.dot *= inverse;
      if (size <= MF_SHORT_ROW) {
        norm_grad_short(MF_RMS_NORM, args->epsilon, x + at, weight, dy + at, NULL, dx + at, size);
      } else {
        norm_grad_apply(x + at, 0.0f, rstd, weight, NULL, dy + at, NULL, means, dx + at, NULL, size);
      }
    }
    copy_tail(dy, dx, args->heads * size, args->ld);
  }
}

static void head_norm_grad(mf_pool *pool, const mf_head_norm_grad *args) {
  const int64_t size = args->head_size;
  head_norm_grad_context context = {args, rows_per_block(args->rows), mf_pool_scratch(pool, 0)};
  const int64_t blocks = mf_ceil_div(args->rows, context.block);
  mf_parallel(pool, blocks, head_norm_grad_task, &context);
  if (args->dquery_weight != NULL)
    add_partials(blocks, size, context.partials, 2 * size, args->dquery_weight, args->accumulate);
  if (args->dkey_weight != NULL)
    add_partials(blocks, size, context.partials + size, 2 * size, args->dkey_weight, args->accumulate);
}
