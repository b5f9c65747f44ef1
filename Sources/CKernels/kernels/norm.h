// Layer and RMS normalization, forward and backward.
//
// y = (x − mean)·rstd·w + b, rstd = 1/√(mean((x − mean)²) + ε); RMS: rstd = 1/√(mean(x²) + ε), no mean, no bias.
// dx = addend + rstd·(g − mean(g) − x̂·mean(g·x̂)), g = dy·w, x̂ = (x − mean)·rstd (RMS: without mean(g)).
// dw = Σ_rows dy·x̂, db = Σ_rows dy. The gradient also gives y once more where it was not kept.
// Shapes: x, y, dx, dy (rows, width); w, b (width); mean, rstd (rows).
// Tasks: blocks of rows; backward at most MF_ROW_BLOCKS blocks, each with its own partial dw and db, added in order.
// Bound: bytes (in fp32 8 per element forward, 12–16 backward); a row is read again from the first-level cache.
// Ba et al., arXiv:1607.06450; Zhang & Sennrich, arXiv:1910.07467.

enum { MF_NORM_BLOCK = 8192 };

/// Σ x and Σ (x − shift)² style sums share this shape: four accumulators, added in a fixed order.
MF_INLINE float row_sum(const act *x, int64_t width) {
  vf s0 = (vf)0.0f, s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * W <= width; i += 4 * W) {
    s0 += v_load_act(x + i);
    s1 += v_load_act(x + i + W);
    s2 += v_load_act(x + i + 2 * W);
    s3 += v_load_act(x + i + 3 * W);
  }
  for (; i < width; i += W) s0 += v_load_act_n(x + i, v_left(i, width));
  return v_sum((s0 + s1) + (s2 + s3));
}

MF_INLINE float row_squares(const act *x, float shift, int64_t width) {
  vf s0 = (vf)0.0f, s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * W <= width; i += 4 * W) {
    const vf a = v_load_act(x + i) - shift, b = v_load_act(x + i + W) - shift;
    const vf c = v_load_act(x + i + 2 * W) - shift, d = v_load_act(x + i + 3 * W) - shift;
    s0 = v_fma(a, a, s0);
    s1 = v_fma(b, b, s1);
    s2 = v_fma(c, c, s2);
    s3 = v_fma(d, d, s3);
  }
  for (; i + W <= width; i += W) {
    const vf a = v_load_act(x + i) - shift;
    s0 = v_fma(a, a, s0);
  }
  if (i < width) {
    const int64_t n = width - i;
    const vf a = v_lanes() < (vi)(int32_t)n ? v_load_act_n(x + i, n) - shift : (vf)0.0f;
    s0 = v_fma(a, a, s0);
  }
  return v_sum((s0 + s1) + (s2 + s3));
}

/// x̂·w + b at n elements from i on; w and b may be NULL.
MF_INLINE vf weighted(vf normalized, const float *w, const float *b, int64_t i, int64_t n) {
  if (w != NULL) normalized *= v_load_n(w + i, n);
  if (b != NULL) normalized += v_load_n(b + i, n);
  return normalized;
}

/// y = (x − shift)·scale·w + b; w and b may be NULL. y may be x.
MF_INLINE void row_normalize(
    const act *x, float shift, float scale, const float *w, const float *b, act *y, int64_t width) {
  for (int64_t i = 0; i < width; i += W) {
    const int64_t n = v_left(i, width);
    v_store_act_n(y + i, weighted((v_load_act_n(x + i, n) - shift) * scale, w, b, i, n), n);
  }
}

static void norm_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_norm *args = context;
  const int64_t width = args->width, block = mf_rows_per_task(width, MF_NORM_BLOCK);
  const int64_t start = task * block, end = mf_min(args->rows, start + block);
  const bool centred = args->kind == MF_LAYER_NORM;
  const float inverse = 1.0f / (float)width;
  for (int64_t row = start; row < end; row++) {
    const act *x = (const act *)args->x + row * width;
    const float mean = centred ? row_sum(x, width) * inverse : 0.0f;
    const float rstd = 1.0f / sqrtf(row_squares(x, mean, width) * inverse + args->epsilon);
    if (centred) args->mean[row] = mean;
    args->rstd[row] = rstd;
    row_normalize(x, mean, rstd, args->weight, centred ? args->bias : NULL, (act *)args->y + row * width, width);
  }
}

static void norm(mf_pool *pool, const mf_norm *args) {
  const int64_t block = mf_rows_per_task(args->width, MF_NORM_BLOCK);
  mf_parallel(pool, mf_ceil_div(args->rows, block), norm_task, (void *)args);
}

// MARK: Gradient

/// Σ g and Σ g·x̂ of one row, and its share of dw and db (each may be NULL).
typedef struct {
  float sum, dot;
} norm_sums;

MF_INLINE norm_sums norm_grad_sums(
    const act *x, float mean, float rstd, const float *w, const act *dy, float *dw, float *db, int64_t width) {
  vf sum = (vf)0.0f, dot = (vf)0.0f;
  for (int64_t i = 0; i < width; i += W) {
    const int64_t n = v_left(i, width);
    const vf d = v_load_act_n(dy + i, n), normalized = (v_load_act_n(x + i, n) - mean) * rstd;
    const vf g = w != NULL ? d * v_load_n(w + i, n) : d;
    sum += g;
    dot = v_fma(g, normalized, dot);
    if (dw != NULL) v_store_n(dw + i, v_fma(d, normalized, v_load_n(dw + i, n)), n);
    if (db != NULL) v_store_n(db + i, v_load_n(db + i, n) + d, n);
  }
  return (norm_sums){v_sum(sum), v_sum(dot)};
}

/// dx = addend + rstd·(g − sum − x̂·dot), with the means in `means`, and y = x̂·w + b unless it is NULL.
/// dx may be dy or addend; y may be dy.
MF_INLINE void norm_grad_apply(
    const act *x, float mean, float rstd, const float *w, const float *b, const act *dy, const act *addend,
    norm_sums means, act *dx, act *y, int64_t width) {
  for (int64_t i = 0; i < width; i += W) {
    const int64_t n = v_left(i, width);
    const vf normalized = (v_load_act_n(x + i, n) - mean) * rstd;
    vf g = v_load_act_n(dy + i, n);
    if (w != NULL) g *= v_load_n(w + i, n);
    vf v = (g - means.sum - normalized * means.dot) * rstd;
    if (addend != NULL) v += v_load_act_n(addend + i, n);
    v_store_act_n(dx + i, v, n);
    if (y != NULL) v_store_act_n(y + i, weighted(normalized, w, b, i, n), n);
  }
}

/// In so short a row x̂ is nearly ±1 and the terms of dx cancel: in fp64, from x alone, what is left is exact.
#define MF_SHORT_ROW 4

MF_INLINE void norm_grad_short(
    mf_norm_kind kind, float epsilon, const act *row, const float *w, const act *dy, const act *addend, act *dx,
    int64_t width) {
  double mean = 0, variance = 0, sum = 0, dot = 0, x[MF_SHORT_ROW], g[MF_SHORT_ROW], normalized[MF_SHORT_ROW];
  for (int64_t i = 0; i < width; i++) x[i] = (double)load_act(row + i);
  for (int64_t i = 0; i < width && kind == MF_LAYER_NORM; i++) mean += x[i] / (double)width;
  for (int64_t i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)width;
  const double rstd = 1.0 / sqrt(variance + (double)epsilon);
  for (int64_t i = 0; i < width; i++) {
    g[i] = (double)load_act(dy + i) * (w != NULL ? (double)w[i] : 1.0);
    normalized[i] = (x[i] - mean) * rstd;
    if (kind == MF_LAYER_NORM) sum += g[i] / (double)width;
    dot += g[i] * normalized[i] / (double)width;
  }
  for (int64_t i = 0; i < width; i++) {
    const double added = addend != NULL ? (double)load_act(addend + i) : 0.0;
    store_act(dx + i, (float)(added + rstd * (g[i] - sum - normalized[i] * dot)));
  }
}

typedef struct {
  const mf_norm_grad *args;
  int64_t block;
  float *partials;  // per block: dw (width) then db (width)
} norm_grad_context;

static void norm_grad_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const norm_grad_context *context = opaque;
  const mf_norm_grad *args = context->args;
  const int64_t width = args->width, start = task * context->block, end = mf_min(args->rows, start + context->block);
  const bool centred = args->kind == MF_LAYER_NORM;
  const float inverse = 1.0f / (float)width;
  float *partial = context->partials + task * 2 * width;
  float *dw = args->dweight != NULL ? partial : NULL;
  float *db = args->dbias != NULL && centred ? partial + width : NULL;
  const float *bias = centred ? args->bias : NULL;
  if (dw != NULL) memset(dw, 0, (size_t)width * sizeof *dw);
  if (db != NULL) memset(db, 0, (size_t)width * sizeof *db);
  for (int64_t row = start; row < end; row++) {
    const act *x = (const act *)args->x + row * width, *dy = (const act *)args->dy + row * width;
    const float mean = centred ? args->mean[row] : 0.0f, rstd = args->rstd[row];
    norm_sums means = norm_grad_sums(x, mean, rstd, args->weight, dy, dw, db, width);
    means.sum = centred ? means.sum * inverse : 0.0f;
    means.dot *= inverse;
    const act *addend = args->addend != NULL ? (const act *)args->addend + row * width : NULL;
    act *dx = (act *)args->dx + row * width, *y = args->y != NULL ? (act *)args->y + row * width : NULL;
    if (width <= MF_SHORT_ROW) {
      norm_grad_short(args->kind, args->epsilon, x, args->weight, dy, addend, dx, width);
      if (y != NULL) row_normalize(x, mean, rstd, args->weight, bias, y, width);
    } else {
      norm_grad_apply(x, mean, rstd, args->weight, bias, dy, addend, means, dx, y, width);
    }
  }
}

static void norm_grad(mf_pool *pool, const mf_norm_grad *args) {
  const int64_t width = args->width;
  norm_grad_context context = {args, rows_per_block(args->rows), mf_pool_scratch(pool, 0)};
  const int64_t blocks = mf_ceil_div(args->rows, context.block);
  mf_parallel(pool, blocks, norm_grad_task, &context);
  if (args->dweight != NULL)
    add_partials(blocks, width, context.partials, 2 * width, args->dweight, args->accumulate_weight);
  if (args->dbias != NULL && args->kind == MF_LAYER_NORM)
    add_partials(blocks, width, context.partials + width, 2 * width, args->dbias, args->accumulate_bias);
}
