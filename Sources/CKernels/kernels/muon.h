// Muon on matrices, each one task:
//   g ← s·g;  m ← μm + (1 − μ)g;  X ← (μm + (1 − μ)g) / (margin·‖μm + (1 − μ)g‖)
//   for each polynomial (a, b, c): A = X·Xᵀ (of tall matrices Xᵀ·X);  X ← (aI + A·(bI + cA))·X (X·(…))
//   w ← w·(1 − ηλ) − η·√max(1, rows/columns)·X
//
// X and A are of storage, products' sums fp32. The new weights are also left in storage type where that is not fp32; m may
// be bf16, rounded by chance.
// Shapes: matrices (rows, columns) in flat buffers; with n the shorter side, 2·rows·columns + 3·n² elements of scratch.
// Bound: FLOPs (per polynomial 4·n·rows·columns + 2·n³).
// Jordan et al., "Muon", 2024; Amsel et al., arXiv:2505.16932, for the polynomials.

typedef struct {
  mf_pool *pool;
  const mf_muon *args;
} muon_context;

/// The momentum after this gradient, in its buffer; what is to be made orthogonal in x, not yet divided by its norm.
/// Returns the norm's square.
static float muon_momentum(const mf_muon *args, const mf_matrix *matrix, float *x) {
  const int64_t count = matrix->rows * matrix->columns;
  const float *gradients = args->gradients + matrix->offset;
  const float keep = args->momentum, add = 1.0f - keep;
  // Rows of partial sums keep what is small from drowning in what is large.
  double total = 0;
  for (int64_t start = 0; start < count; start += MF_SUM_RUN) {
    vf sum = (vf)0.0f;
    for (int64_t i = start; i < mf_min(count, start + MF_SUM_RUN); i += W) {
      const int64_t n = v_left(i, count), at = matrix->offset + i;
      const vf g = v_load_n(gradients + i, n) * (args->gradient_scale * add);
#if defined(MF_STORES_BF16)
      vf m;
      if (args->half_moments) {
        act *moment = (act *)args->moments + at;
        m = v_fma(v_load_act_n(moment, n), (vf)keep, g);
        v_store_by_chance_n(moment, m, v_hash(((vu)v_lanes() + (uint32_t)at) ^ args->chance) & 0xffffu, n);
      } else {
        float *moment = (float *)args->moments + at;
        m = v_fma(v_load_n(moment, n), (vf)keep, g);
        v_store_n(moment, m, n);
      }
#else
      float *moment = (float *)args->moments + at;
      const vf m = v_fma(v_load_n(moment, n), (vf)keep, g);
      v_store_n(moment, m, n);
#endif
      const vf u = v_fma(m, (vf)keep, g);
      v_store_n(x + i, u, n);
      sum = v_fma(u, u, sum);
    }
    total += (double)v_sum(sum);
  }
  return (float)total;
}

/// y = b·I + c·A; A is (n, n).
static void muon_shifted(int64_t n, const act *a, float b, float c, act *y) {
  for (int64_t i = 0; i < n * n; i += W) v_store_act_n(y + i, v_load_act_n(a + i, v_left(i, n * n)) * c, v_left(i, n * n));
  for (int64_t i = 0; i < n; i++) store_act(y + i * n + i, load_act(a + i * n + i) * c + b);
}

static void muon_task(void *opaque, int64_t task, int worker) {
  const muon_context *context = opaque;
  const mf_muon *args = context->args;
  const mf_matrix *matrix = args->matrices + task;
  const int64_t rows = matrix->rows, columns = matrix->columns, count = rows * columns;
  const bool is_tall = rows > columns;
  const int64_t n = is_tall ? columns : rows;
  // Behind what products take.
  float *scratch = (float *)((char *)mf_pool_scratch(context->pool, worker) + mf_gemm_scratch());
  // What is to be made orthogonal is fp32 until its norm is known; the room is that of X and its successor.
  act *x = (act *)scratch, *next = x + mf_round_up(count, 64);
  act *a = next + mf_round_up(count, 64), *shifted = a + mf_round_up(n * n, 64), *factor = shifted + mf_round_up(n * n, 64);
  float *u = MF_HALF ? scratch : (float *)next;

  const float square = muon_momentum(args, matrix, u);
  const float scale = 1.0f / (args->norm_margin * sqrtf(square) + 1e-7f);
  // In place for halves: element i is read before its place is written.
  for (int64_t i = 0; i < count; i += W)
    v_store_act_n(x + i, v_load_n(u + i, v_left(i, count)) * scale, v_left(i, count));

  for (int64_t p = 0; p < args->polynomial_count; p++) {
    const float *polynomial = args->polynomials + 3 * p;
    gemm_alone(context->pool, worker, &(mf_gemm){
        .m = n, .n = n, .k = is_tall ? rows : columns, .a = x, .lda = columns, .a_transposed = is_tall, .b = x,
        .ldb = columns, .b_transposed = !is_tall, .c = a, .ldc = n});
    muon_shifted(n, a, polynomial[1], polynomial[2], shifted);
    gemm_alone(context->pool, worker, &(mf_gemm){
        .m = n, .n = n, .k = n, .a = a, .lda = n, .b = shifted, .ldb = n, .c = factor, .ldc = n});
    for (int64_t i = 0; i < n; i++) store_act(factor + i * n + i, load_act(factor + i * n + i) + polynomial[0]);
    gemm_alone(context->pool, worker, &(mf_gemm){
        .m = rows, .n = columns, .k = n, .a = is_tall ? x : factor, .lda = is_tall ? columns : n,
        .b = is_tall ? factor : x, .ldb = is_tall ? n : columns, .c = next, .ldc = columns});
    act *other = x;
    x = next;
    next = other;
  }

  const float decay = (float)(1.0 - (double)args->learning_rate * args->weight_decay);
  const float step = args->learning_rate * sqrtf(is_tall ? (float)rows / (float)columns : 1.0f);
  float *weights = args->weights + matrix->offset;
  act *copy = args->copy == NULL ? NULL : (act *)args->copy + matrix->offset;
  for (int64_t i = 0; i < count; i += W) {
    const int64_t left = v_left(i, count);
    const vf w = v_load_n(weights + i, left) * decay - step * v_load_act_n(x + i, left);
    v_store_n(weights + i, w, left);
    if (copy != NULL) v_store_act_n(copy + i, w, left);
  }
}

static void muon(mf_pool *pool, const mf_muon *args) {
  mf_parallel(pool, args->count, muon_task, &(muon_context){pool, args});
}
