// Means over ranges of each row's tokens: y_bs = Σ_{t in range bs} x_bt / |range bs|; gradient:
// dx_bt = Σ_{s with t in range bs} dy_bs / |range bs|.
//
// Shapes: x and dx (B, T, width), ranges (B, S, 2) clipped to 0..<T, y and dy (B, S, width).
// Tasks: rows b; a row's ranges one after another, so that the order of sums never changes.
// Bound: bytes of x.

/// Range s of row b and the factor 1/|range|, 0 for an empty one.
MF_INLINE float pool_range(const int32_t *ranges, int64_t index, int64_t time, int64_t *start, int64_t *end) {
  *start = mf_max(0, ranges[2 * index]);
  *end = mf_min(time, ranges[2 * index + 1]);
  return *end > *start ? 1.0f / (float)(*end - *start) : 0.0f;
}

static void mean_pool_task(void *context, int64_t b, MF_UNUSED int worker) {
  const mf_mean_pool *args = context;
  const int64_t width = args->width;
  const act *x = (const act *)args->x + b * args->time * width;
  for (int64_t s = b * args->pools; s < (b + 1) * args->pools; s++) {
    int64_t start, end;
    const float scale = pool_range(args->ranges, s, args->time, &start, &end);
    for (int64_t i = 0; i < width; i += W) {
      const int64_t left = v_left(i, width);
      vf sum = (vf)0.0f;
      for (int64_t t = start; t < end; t++) sum += v_load_act_n(x + t * width + i, left);
      v_store_act_n((act *)args->y + s * width + i, sum * scale, left);
    }
  }
}

static void mean_pool(mf_pool *pool, const mf_mean_pool *args) {
  mf_parallel(pool, args->batch, mean_pool_task, (void *)args);
}

static void mean_pool_grad_task(void *context, int64_t b, MF_UNUSED int worker) {
  const mf_mean_pool_grad *args = context;
  const int64_t width = args->width;
  const act *dy = args->dy;
  act *dx = (act *)args->dx + b * args->time * width;
  memset(dx, 0, (size_t)(args->time * width) * sizeof *dx);
  for (int64_t s = b * args->pools; s < (b + 1) * args->pools; s++) {
    int64_t start, end;
    const float scale = pool_range(args->ranges, s, args->time, &start, &end);
    for (int64_t t = start; t < end; t++) {
      for (int64_t i = 0; i < width; i += W) {
        const int64_t left = v_left(i, width);
        const vf share = v_load_act_n(dy + s * width + i, left) * scale;
        v_store_act_n(dx + t * width + i, v_load_act_n(dx + t * width + i, left) + share, left);
      }
    }
  }
}

static void mean_pool_grad(mf_pool *pool, const mf_mean_pool_grad *args) {
  mf_parallel(pool, args->batch, mean_pool_grad_task, (void *)args);
}
