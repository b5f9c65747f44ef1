// Operations on flat ranges: y = a + b; x = cap·tanh(x / cap); Σ x²; fp32 to storage and back; and sums of partial sums.
//
// Shapes: (count) flat.
// Tasks: flat blocks of MF_FLAT_BLOCK elements; the sums use at most MF_ROW_BLOCKS or MF_SUM_BLOCKS blocks, whose
// results are added in order.
// Bound: bytes (in fp32 add 12 per element, softcap and conversion 8, the sums 4).

enum { MF_FLAT_BLOCK = 16384, MF_SUM_BLOCKS = 256, MF_SUM_RUN = 4096 };

/// Runs `body` for each MF_FLAT_BLOCK of a flat range.
MF_INLINE void flat_parallel(mf_pool *pool, int64_t count, void (*body)(void *, int64_t, int), void *context) {
  mf_parallel(pool, mf_ceil_div(count, MF_FLAT_BLOCK), body, context);
}

// MARK: add

typedef struct {
  int64_t count;
  const act *a, *b;
  act *y;
} add_context;

static void add_task(void *context, int64_t task, MF_UNUSED int worker) {
  const add_context *args = context;
  const int64_t start = task * MF_FLAT_BLOCK, n = mf_min(MF_FLAT_BLOCK, args->count - start);
  const act *a = args->a + start, *b = args->b + start;
  act *y = args->y + start;
  int64_t i = 0;
  for (; i + W <= n; i += W) v_store_act(y + i, v_load_act(a + i) + v_load_act(b + i));
  if (i < n) v_store_act_n(y + i, v_load_act_n(a + i, n - i) + v_load_act_n(b + i, n - i), n - i);
}

static void add(mf_pool *pool, int64_t count, const void *a, const void *b, void *y) {
  flat_parallel(pool, count, add_task, &(add_context){count, a, b, y});
}

// MARK: narrow and widen

typedef struct {
  int64_t count;
  float *floats;
  act *halves;
} convert_context;

static void narrow_task(void *context, int64_t task, MF_UNUSED int worker) {
  const convert_context *args = context;
  const int64_t start = task * MF_FLAT_BLOCK, end = mf_min(args->count, start + MF_FLAT_BLOCK);
  for (int64_t i = start; i < end; i += W) {
    const int64_t n = v_left(i, end);
    v_store_act_n(args->halves + i, v_load_n(args->floats + i, n), n);
  }
}

static void widen_task(void *context, int64_t task, MF_UNUSED int worker) {
  const convert_context *args = context;
  const int64_t start = task * MF_FLAT_BLOCK, end = mf_min(args->count, start + MF_FLAT_BLOCK);
  for (int64_t i = start; i < end; i += W) {
    const int64_t n = v_left(i, end);
    v_store_n(args->floats + i, v_load_act_n(args->halves + i, n), n);
  }
}

static void narrow(mf_pool *pool, int64_t count, const float *x, void *y) {
  flat_parallel(pool, count, narrow_task, &(convert_context){count, (float *)x, y});
}

static void widen(mf_pool *pool, int64_t count, const void *x, float *y) {
  flat_parallel(pool, count, widen_task, &(convert_context){count, y, (act *)x});
}

// MARK: softcap

typedef struct {
  int64_t count;
  float cap;
  float *x;
} softcap_context;

static void softcap_task(void *context, int64_t task, MF_UNUSED int worker) {
  const softcap_context *args = context;
  const int64_t start = task * MF_FLAT_BLOCK, n = mf_min(MF_FLAT_BLOCK, args->count - start);
  const float cap = args->cap, inverse = 1.0f / cap;
  float *x = args->x + start;
  int64_t i = 0;
  for (; i + W <= n; i += W) v_store(x + i, cap * v_tanh(v_load(x + i) * inverse));
  if (i < n) v_store_n(x + i, cap * v_tanh(v_load_n(x + i, n - i) * inverse), n - i);
}

static void softcap(mf_pool *pool, int64_t count, float cap, float *x) {
  flat_parallel(pool, count, softcap_task, &(softcap_context){count, cap, x});
}

// MARK: sum_of_squares

typedef struct {
  int64_t count, block;
  const float *x;
  double sums[MF_SUM_BLOCKS];
} square_context;

/// fp32 lanes over at most MF_SUM_RUN elements, so that rounding errors stay small; fp64 above.
static void square_task(void *context, int64_t task, MF_UNUSED int worker) {
  square_context *args = context;
  const int64_t start = task * args->block, end = mf_min(args->count, start + args->block);
  double total = 0;
  for (int64_t run = start; run < end; run += MF_SUM_RUN) {
    const int64_t stop = mf_min(end, run + MF_SUM_RUN);
    vf s0 = (vf)0.0f, s1 = s0, s2 = s0, s3 = s0;
    int64_t i = run;
    for (; i + 4 * W <= stop; i += 4 * W) {
      const vf a = v_load(args->x + i), b = v_load(args->x + i + W);
      const vf c = v_load(args->x + i + 2 * W), d = v_load(args->x + i + 3 * W);
      s0 = v_fma(a, a, s0);
      s1 = v_fma(b, b, s1);
      s2 = v_fma(c, c, s2);
      s3 = v_fma(d, d, s3);
    }
    for (; i < stop; i += W) {
      const vf a = v_load_n(args->x + i, v_left(i, stop));
      s0 = v_fma(a, a, s0);
    }
    total += (double)v_sum((s0 + s1) + (s2 + s3));
  }
  args->sums[task] = total;
}

static double sum_of_squares(mf_pool *pool, int64_t count, const float *x) {
  square_context context = {.count = count, .x = x};
  context.block = mf_round_up(mf_max(MF_FLAT_BLOCK, mf_ceil_div(count, MF_SUM_BLOCKS)), MF_SUM_RUN);
  const int64_t blocks = mf_ceil_div(count, context.block);
  mf_parallel(pool, blocks, square_task, &context);
  double total = 0;
  for (int64_t i = 0; i < blocks; i++) total += context.sums[i];
  return total;
}

// MARK: Sums over rows, by blocks of them

/// y[0..<width] (+)= Σ_b partials[b·stride + j], in the order of b.
MF_INLINE void add_partials(
    int64_t blocks, int64_t width, const float *partials, int64_t stride, float *y, bool accumulate) {
  for (int64_t j = 0; j < width; j += W) {
    const int64_t n = v_left(j, width);
    vf sum = (vf)0.0f;
    for (int64_t b = 0; b < blocks; b++) sum += v_load_n(partials + b * stride + j, n);
    if (accumulate) sum += v_load_n(y + j, n);
    v_store_n(y + j, sum, n);
  }
}

MF_INLINE int64_t rows_per_block(int64_t rows) { return mf_max(8, mf_ceil_div(rows, MF_ROW_BLOCKS)); }
