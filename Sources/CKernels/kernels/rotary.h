// Rotary positions, "rotate half" layout: (x1, x2) → (x1·cos − x2·sin, x2·cos + x1·sin), x1 and x2 a head's two halves.
// The gradient is the inverse rotation of dy.
//
// Shapes: x, y (rows, ld), heads 0..<heads rotated, columns behind them copied; tables (positions, D/2).
// Tasks: blocks of rows. Bound: bytes (in fp32 8 per element).
// Su et al., "RoFormer", arXiv:2104.09864.

static void rotary_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_rotary *args = context;
  const int64_t half = args->head_size / 2, block = mf_rows_per_task(args->ld, MF_NORM_BLOCK);
  const int64_t start = task * block, end = mf_min(args->rows, start + block);
  for (int64_t row = start; row < end; row++) {
    const float *cosines = args->cosines + args->positions[row] * half;
    const float *sines = args->sines + args->positions[row] * half;
    for (int64_t i = 0; i < half; i += W) {
      const int64_t n = v_left(i, half);
      const vf c = v_load_n(cosines + i, n);
      const vf s = args->inverse ? -v_load_n(sines + i, n) : v_load_n(sines + i, n);
      for (int64_t head = 0; head < args->heads; head++) {
        const act *x = (const act *)args->x + row * args->ld + head * args->head_size + i;
        act *y = (act *)args->y + row * args->ld + head * args->head_size + i;
        const vf x1 = v_load_act_n(x, n), x2 = v_load_act_n(x + half, n);
        v_store_act_n(y, x1 * c - x2 * s, n);
        v_store_act_n(y + half, x2 * c + x1 * s, n);
      }
    }
    copy_tail(
        (const act *)args->x + row * args->ld, (act *)args->y + row * args->ld, args->heads * args->head_size,
        args->ld);
  }
}

static void rotary(mf_pool *pool, const mf_rotary *args) {
  const int64_t block = mf_rows_per_task(args->ld, MF_NORM_BLOCK);
  mf_parallel(pool, mf_ceil_div(args->rows, block), rotary_task, (void *)args);
}
