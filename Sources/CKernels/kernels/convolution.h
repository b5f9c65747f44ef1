// Depthwise convolution with the tokens before: y_t = x_t + Σ_j w_j·x_{t−j}, j in 1...taps; gradients:
// dx_t = dy_t + Σ_j w_j·dy_{t+j}, dw_j = Σ_t dy_t·x_{t−j}.
//
// A token at position p of its text sees min(taps, p) before it: those of its row, or from the cache.
// Shapes: x, y, dy, dx (B·T, width), w (taps, width), cache (B, capacity, width).
// Tasks: blocks of rows; partial sums of dw are added in order. Bound: bytes.

/// How many tokens before it row r, at t in its row of tokens, sees there.
MF_INLINE int64_t convolution_reach(const mf_convolution *args, int64_t r, int64_t t) {
  return mf_min(args->taps, mf_min(t, args->positions[r]));
}

static void convolution_row(const mf_convolution *args, int64_t r) {
  const int64_t width = args->width, t = r % args->time;
  const act *x = (const act *)args->x + r * width;
  act *y = (act *)args->y + r * width;
  int64_t reach = convolution_reach(args, r, t);
  float *cached = NULL;  // where this row goes
  if (args->cache != NULL) {
    cached = args->cache + (r / args->time * args->capacity + args->positions[r]) * width;
    reach = mf_min(args->taps, args->positions[r]);
  }
  for (int64_t i = 0; i < width; i += W) {
    const int64_t n = v_left(i, width);
    const vf own = v_load_act_n(x + i, n);
    vf sum = own;
    for (int64_t j = 1; j <= reach; j++) {
      const vf before = j <= t ? v_load_act_n(x + i - j * width, n) : v_load_n(cached + i - j * width, n);
      sum = v_fma(v_load_n(args->weight + (j - 1) * width + i, n), before, sum);
    }
    v_store_act_n(y + i, sum, n);
    if (cached != NULL) v_store_n(cached + i, own, n);
  }
}

static void convolution_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_convolution *args = context;
  const int64_t block = mf_rows_per_task(args->width, MF_NORM_BLOCK), start = task * block;
  for (int64_t r = start; r < mf_min(args->rows, start + block); r++) convolution_row(args, r);
}

static void convolution(mf_pool *pool, const mf_convolution *args) {
  const int64_t block = mf_rows_per_task(args->width, MF_NORM_BLOCK);
  mf_parallel(pool, mf_ceil_div(args->rows, block), convolution_task, (void *)args);
}

// MARK: Gradient

typedef struct {
  const mf_convolution_grad *args;
  int64_t block;
  float *partials;  // per block: dw
} convolution_grad_context;

static void convolution_grad_row(const mf_convolution_grad *args, int64_t r, float *dw) {
  const mf_convolution *forward = &args->forward;
  const int64_t width = forward->width, t = r % forward->time, reach = convolution_reach(forward, r, t);
  const int64_t ahead = mf_min(forward->taps, forward->time - 1 - t);
  const act *x = (const act *)forward->x + r * width, *dy = (const act *)args->dy + r * width;
  for (int64_t i = 0; i < width; i += W) {
    const int64_t n = v_left(i, width);
    const vf own = v_load_act_n(dy + i, n);
    vf sum = own;
    for (int64_t j = 1; j <= ahead; j++) {
      if (forward->positions[r + j] < j) continue;
      sum = v_fma(v_load_n(forward->weight + (j - 1) * width + i, n), v_load_act_n(dy + i + j * width, n), sum);
    }
    v_store_act_n((act *)args->dx + r * width + i, sum, n);
    if (dw == NULL) continue;
    for (int64_t j = 1; j <= reach; j++) {
      float *place = dw + (j - 1) * width + i;
      v_store_n(place, v_fma(own, v_load_act_n(x + i - j * width, n), v_load_n(place, n)), n);
    }
  }
}

static void convolution_grad_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const convolution_grad_context *context = opaque;
  const mf_convolution_grad *args = context->args;
  const int64_t size = args->forward.taps * args->forward.width, start = task * context->block;
  float *dw = args->dweight != NULL ? context->partials + task * size : NULL;
  if (dw != NULL) memset(dw, 0, (size_t)size * sizeof *dw);
  for (int64_t r = start; r < mf_min(args->forward.rows, start + context->block); r++) {
    convolution_grad_row(args, r, dw);
    if (args->forward.y != NULL) convolution_row(&args->forward, r);
  }
}

static void convolution_grad(mf_pool *pool, const mf_convolution_grad *args) {
  const int64_t size = args->forward.taps * args->forward.width;
  convolution_grad_context context = {args, rows_per_block(args->forward.rows), mf_pool_scratch(pool, 0)};
  const int64_t blocks = mf_ceil_div(args->forward.rows, context.block);
  mf_parallel(pool, blocks, convolution_grad_task, &context);
  if (args->dweight != NULL) add_partials(blocks, size, context.partials, size, args->dweight, args->accumulate);
}
