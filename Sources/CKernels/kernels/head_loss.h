// The head in one pass: logits z = cap·tanh((x·Wᵀ + bias)/cap), cross-entropy, and the gradients of x, W and bias.
//
// loss_i = s_i − (1 − ε)·z_i,target − ε·mean_j z_ij + ζ·s_i²,  s_i = log Σ_j e^(z_ij)
// dz_ij = (softmax_ij·(1 + 2ζ·s_i) − (1 − ε)·[j = target] − ε/vocabulary)·weight_i/normalizer·(1 − (z_ij/cap)²)
// dx = dz·W, dW (+)= dzᵀ·x, dbias (+)= Σ_i dz_i
// Shapes: x, dx (rows, width); W, dW (vocabulary, width); bias (vocabulary).
// dz is of storage, and takes the place of the fp32 logits: row i begins where theirs does.
// Rows of weight 0 take no part in the products: where there are any, the others are gathered first.
// Tasks: chunks of rows one after another, so that only a chunk's logits are held; inside, the matrix products' tasks
// and blocks of rows (softmax) or of columns (dbias). Bound: FLOPs (6·rows·width·vocabulary).

enum { MF_HEAD_BLOCK = 8192, MF_HEAD_COLUMNS = 512 };

typedef struct {
  const mf_head_loss *args;
  const int32_t *counted;  // the rows of other weight than 0
  int64_t first, rows;     // the chunk, among those
} head_context;

MF_INLINE float head_largest(const float *z, int64_t n) {
  vf largest = (vf)-INFINITY;
  for (int64_t j = 0; j < n; j += W) {
    const int64_t left = v_left(j, n);
    const vf v = v_load_n(z + j, left);
    largest = v_max(v_lanes() < (vi)(int32_t)left ? v : (vf)-INFINITY, largest);
  }
  return v_largest(largest);
}

MF_INLINE vf head_capped(vf v, float cap) { return cap * v_tanh(v * (1.0f / cap)); }

/// z_j = cap·tanh(z_j/cap)
MF_INLINE void head_cap(float *z, int64_t n, float cap) {
  for (int64_t j = 0; j < n; j += W) {
    const int64_t left = v_left(j, n);
    v_store_n(z + j, head_capped(v_load_n(z + j, left), cap), left);
  }
}

MF_INLINE float head_total(const float *z, int64_t n) {
  vf sum = (vf)0.0f;
  for (int64_t j = 0; j < n; j += W) sum += v_load_n(z + j, v_left(j, n));
  return v_sum(sum);
}

/// Σ e^(z_j − largest), and the terms in place of z when `store`.
MF_INLINE float head_exponentials(float *z, int64_t n, float largest, bool store) {
  vf sum0 = (vf)0.0f, sum1 = sum0;
  int64_t j = 0;
  for (; j + 2 * W <= n; j += 2 * W) {
    const vf a = v_exp(v_load(z + j) - largest), b = v_exp(v_load(z + j + W) - largest);
    sum0 += a;
    sum1 += b;
    if (store) {
      v_store(z + j, a);
      v_store(z + j + W, b);
    }
  }
  for (; j < n; j += W) {
    const int64_t left = v_left(j, n);
    const vf a = v_exp(v_load_n(z + j, left) - largest);
    sum0 += v_lanes() < (vi)(int32_t)left ? a : (vf)0.0f;
    if (store) v_store_n(z + j, a, left);
  }
  return v_sum(sum0 + sum1);
}

MF_INLINE bool is_first_largest(const float *z, int64_t target, float largest) {
  if (!(z[target] == largest)) return false;
  for (int64_t j = 0; j < target; j += W) {
    const vi equal = v_load_n(z + j, v_left(j, target)) == largest & v_lanes() < (vi)(int32_t)(target - j);
    if (__builtin_reduce_or(equal) != 0) return false;
  }
  return true;
}

/// dz of a softcapped logit v but for the target's share.
MF_INLINE vf head_capped_gradient(vf v, float largest, float scale, float everywhere, float inverse) {
  const vf ratio = v * inverse;
  return (v_exp(v - largest) * scale - everywhere) * (1.0f - ratio * ratio);
}

/// Logits of one row → loss, correct, and in place the gradient dz: an element is read before its place is written.
static void head_row(const mf_head_loss *args, int64_t row, float *z) {
  act *dz = (act *)z;
  const int64_t n = args->vocabulary;
  const float weight = args->weights[row], cap = args->softcap;
  const bool gradient = args->dx != NULL || args->dweight != NULL || args->dbias != NULL;
  const int64_t target = args->targets[row];
  float largest = head_largest(z, n);
  // Before they are capped: the cap makes equals of what is far above it.
  args->correct[row] = is_first_largest(z, target, largest) ? 1.0f : 0.0f;
  if (cap > 0) {
    head_cap(z, n, cap);
    largest = head_capped((vf)largest, cap)[0];
  }
  const float target_logit = z[target], smoothing = args->smoothing;
  const float mean = smoothing > 0 ? head_total(z, n) / (float)n : 0;
  const bool store = gradient && !(cap > 0);
  const float sum = head_exponentials(z, n, largest, store);
  const float log_of_sum = logf(sum), log_sum = log_of_sum + largest;
  args->losses[row] = log_of_sum + (largest - target_logit) + smoothing * (target_logit - mean) +
                      args->z_loss * log_sum * log_sum;
  if (!gradient) return;

  const float share = weight / *args->normalizer * args->gradient_scale;
  const float scale = share / sum * (1.0f + 2.0f * args->z_loss * log_sum);
  const float everywhere = share * smoothing / (float)n, at_target = share * (1.0f - smoothing);
  float target_gradient;
  if (store) {
    target_gradient = z[target] * scale - everywhere;
    target_gradient -= at_target;
    for (int64_t j = 0; j < n; j += W) {
      const int64_t left = v_left(j, n);
      v_store_act_n(dz + j, v_load_n(z + j, left) * scale - everywhere, left);
    }
  } else {
    const float inverse = 1.0f / cap, target_slope = 1.0f - (target_logit * inverse) * (target_logit * inverse);
    target_gradient = head_capped_gradient((vf)target_logit, largest, scale, everywhere, inverse)[0];
    target_gradient -= at_target * target_slope;
    for (int64_t j = 0; j < n; j += W) {
      const int64_t left = v_left(j, n);
      const vf v = v_load_n(z + j, left);
      v_store_act_n(dz + j, head_capped_gradient(v, largest, scale, everywhere, inverse), left);
    }
  }
  store_act(dz + target, target_gradient);
}

static void head_row_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const head_context *context = opaque;
  const int64_t n = context->args->vocabulary, block = mf_rows_per_task(n, MF_HEAD_BLOCK);
  const int64_t end = mf_min(context->rows, (task + 1) * block);
  for (int64_t row = task * block; row < end; row++)
    head_row(context->args, context->counted[context->first + row], context->args->workspace + row * n);
}

static void head_bias_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const head_context *context = opaque;
  const mf_head_loss *args = context->args;
  const int64_t n = args->vocabulary, first = task * MF_HEAD_COLUMNS, end = mf_min(n, first + MF_HEAD_COLUMNS);
  const bool keep = args->accumulate_bias || context->first > 0;
  const act *dz = (const act *)args->workspace;
  for (int64_t j = first; j < end; j += W) {
    const int64_t left = v_left(j, end);
    vf sum = keep ? v_load_n(args->dbias + j, left) : (vf)0.0f;
    for (int64_t row = 0; row < context->rows; row++) sum += v_load_act_n(dz + row * n * MF_PER_FLOAT + j, left);
    v_store_n(args->dbias + j, sum, left);
  }
}

/// Lists the rows that count; the others get their results here.
static int64_t head_count_rows(const mf_head_loss *args, int32_t *counted) {
  int64_t count = 0;
  for (int64_t row = 0; row < args->rows; row++) {
    if (args->weights[row] != 0.0f) {
      counted[count++] = (int32_t)row;
      continue;
    }
    args->losses[row] = args->correct[row] = 0;
    if (args->dx != NULL) memset((act *)args->dx + row * args->width, 0, (size_t)args->width * sizeof(act));
  }
  return count;
}

static void head_loss(mf_pool *pool, const mf_head_loss *args) {
  const int64_t width = args->width, vocabulary = args->vocabulary, ld_dz = vocabulary * MF_PER_FLOAT;
  const size_t row_bytes = (size_t)width * sizeof(act);
  const int64_t chunk = mf_head_chunk_rows(args->rows, vocabulary);
  act *gathered = (act *)(args->workspace + chunk * vocabulary);  // x, then dx, of a chunk
  int32_t *counted = (int32_t *)(args->workspace + chunk * (vocabulary + width));
  const int64_t count = head_count_rows(args, counted);
  const bool gathers = count < args->rows;
  if (count == 0) {
    if (args->dweight != NULL && !args->accumulate_weight)
      memset(args->dweight, 0, (size_t)(vocabulary * width) * sizeof(float));
    if (args->dbias != NULL && !args->accumulate_bias) memset(args->dbias, 0, (size_t)vocabulary * sizeof(float));
  }
  for (int64_t first = 0; first < count; first += chunk) {
    const int64_t rows = mf_min(chunk, count - first);
    const act *all = args->x;
    for (int64_t i = 0; gathers && i < rows; i++)
      memcpy(gathered + i * width, all + counted[first + i] * width, row_bytes);
    const act *x = gathers ? gathered : all + first * width;
    head_context context = {args, counted, first, rows};
    gemm(
        pool, &(mf_gemm){.m = rows, .n = vocabulary, .k = width, .a = x, .lda = width, .b = args->weight,
                         .ldb = width, .b_transposed = true, .c = args->workspace, .ldc = vocabulary,
                         .c_fp32 = true, .bias = args->bias});
    mf_parallel(pool, mf_ceil_div(rows, mf_rows_per_task(vocabulary, MF_HEAD_BLOCK)), head_row_task, &context);
    if (args->dweight != NULL) {
      const bool keep = args->accumulate_weight || first > 0;
      gemm(
          pool, &(mf_gemm){.m = vocabulary, .n = width, .k = rows, .a = args->workspace, .lda = ld_dz,
                           .a_transposed = true, .b = x, .ldb = width, .c = args->dweight, .ldc = width,
                           .c_fp32 = true, .initial = keep ? args->dweight : NULL, .ld_initial = width});
    }
    if (args->dbias != NULL) mf_parallel(pool, mf_ceil_div(vocabulary, MF_HEAD_COLUMNS), head_bias_task, &context);
    if (args->dx == NULL) continue;
    act *dx = args->dx, *results = gathers ? gathered : dx + first * width;
    gemm(
        pool, &(mf_gemm){.m = rows, .n = width, .k = vocabulary, .a = args->workspace, .lda = ld_dz, .b = args->weight,
                         .ldb = width, .c = results, .ldc = width});
    for (int64_t i = 0; gathers && i < rows; i++)
      memcpy(dx + counted[first + i] * width, gathered + i * width, row_bytes);
  }
}
