// Activations, plain y = f(x) and gated y = f(gate)·up with x = gate ‖ up (Shazeer, arXiv:2002.05202), and gradients.
//
// The gradient also gives y once more where it was not kept.
// Shapes: x (rows, width) or gated (rows, 2·width); y (rows, width).
// Tasks: blocks of rows of about MF_ACTIVATION_BLOCK elements. A plain activation counts as one row per element run.
// Bound: bytes (in fp32 8 per element plain, 12 gated); GELU about equally FLOPs.

enum { MF_ACTIVATION_BLOCK = 8192 };

MF_INLINE vf gelu_tanh_argument(vf x) { return 1.5957691216057308f * x * v_fma(x * x, (vf)0.044715f, (vf)1.0f); }

MF_INLINE vf activate(mf_activation_kind kind, vf x) {
  switch (kind) {
  case MF_RELU:
    return x > 0.0f ? x : (vf)0.0f;
  case MF_RELU_SQUARED:
    return x > 0.0f ? x * x : (vf)0.0f;
  case MF_SILU:
    return x * v_sigmoid(x);
  case MF_GELU: {
    vf density;
    return x * v_normal(x, &density);
  }
  case MF_GELU_TANH:
    // (1 + tanh u)/2 = sigmoid(2u)
    return x * v_sigmoid(gelu_tanh_argument(x));
  }
  return x;
}

/// f(x), the same bits as activate() has, and f′(x) in `slope`.
MF_INLINE vf activate_with_slope(mf_activation_kind kind, vf x, vf *slope) {
  switch (kind) {
  case MF_RELU:
    *slope = x > 0.0f ? (vf)1.0f : (vf)0.0f;
    return x > 0.0f ? x : (vf)0.0f;
  case MF_RELU_SQUARED: {
    const vf positive = x > 0.0f ? x : (vf)0.0f;
    *slope = 2.0f * positive;
    return positive * positive;
  }
  case MF_SILU: {
    const vf s = v_sigmoid(x);
    *slope = s * v_fma(x, 1.0f - s, (vf)1.0f);
    return x * s;
  }
  case MF_GELU: {
    vf density;
    const vf p = v_normal(x, &density);
    *slope = v_fma(x, density, p);
    return x * p;
  }
  case MF_GELU_TANH: {
    const vf s = v_sigmoid(gelu_tanh_argument(x));
    const vf inner = v_fma(x * x, (vf)(3.0f * 0.044715f), (vf)1.0f) * 1.5957691216057308f;
    *slope = s * v_fma(x * inner, 1.0f - s, (vf)1.0f);
    return x * s;
  }
  }
  *slope = (vf)1.0f;
  return x;
}

/// A plain activation is treated as rows of MF_ACTIVATION_BLOCK elements of a flat range: `count` in all.
typedef struct {
  mf_activation_kind kind;
  bool gated;
  int64_t rows, width, rows_per_task, count;
  const act *x, *dy;
  act *y, *dx;
} activation_context;

static activation_context activation_plan(bool gated, mf_activation_kind kind, int64_t rows, int64_t width) {
  activation_context context = {.kind = kind, .gated = gated, .rows = rows, .width = width, .count = rows * width};
  context.rows_per_task = gated ? mf_rows_per_task(width, MF_ACTIVATION_BLOCK) : 1;
  if (!gated) {
    context.rows = mf_ceil_div(context.count, MF_ACTIVATION_BLOCK);
    context.width = MF_ACTIVATION_BLOCK;
  }
  return context;
}

MF_INLINE void activation_row(const activation_context *args, mf_activation_kind kind, int64_t row) {
  const int64_t width = args->width;
  if (args->gated) {
    const act *gate = args->x + row * 2 * width, *up = gate + width;
    act *y = args->y + row * width;
    int64_t i = 0;
    for (; i + W <= width; i += W) v_store_act(y + i, activate(kind, v_load_act(gate + i)) * v_load_act(up + i));
    const int64_t n = width - i;
    if (n > 0) v_store_act_n(y + i, activate(kind, v_load_act_n(gate + i, n)) * v_load_act_n(up + i, n), n);
  } else {
    const int64_t start = row * width, length = mf_min(width, args->count - start);
    const act *x = args->x + start;
    act *y = args->y + start;
    int64_t i = 0;
    for (; i + W <= length; i += W) v_store_act(y + i, activate(kind, v_load_act(x + i)));
    if (i < length) v_store_act_n(y + i, activate(kind, v_load_act_n(x + i, length - i)), length - i);
  }
}

/// At n elements from i on; y may be NULL, or dy.
MF_INLINE void gate_gradient(
    mf_activation_kind kind, const act *gate, const act *dy, act *dgate, act *y, int64_t width, int64_t i, int64_t n) {
  vf slope;
  const vf d = v_load_act_n(dy + i, n), up = v_load_act_n(gate + width + i, n);
  const vf f = activate_with_slope(kind, v_load_act_n(gate + i, n), &slope);
  v_store_act_n(dgate + i, d * up * slope, n);
  v_store_act_n(dgate + width + i, d * f, n);
  if (y != NULL) v_store_act_n(y + i, f * up, n);
}

/// At n elements; y may be NULL, or x; dx may be dy.
MF_INLINE void plain_gradient(mf_activation_kind kind, const act *x, const act *dy, act *dx, act *y, int64_t n) {
  vf slope;
  const vf d = v_load_act_n(dy, n), f = activate_with_slope(kind, v_load_act_n(x, n), &slope);
  v_store_act_n(dx, d * slope, n);
  if (y != NULL) v_store_act_n(y, f, n);
}

MF_INLINE void activation_grad_row(const activation_context *args, mf_activation_kind kind, int64_t row) {
  const int64_t width = args->width;
  int64_t i = 0;
  if (args->gated) {
    const act *gate = args->x + row * 2 * width, *dy = args->dy + row * width;
    act *dgate = args->dx + row * 2 * width, *y = args->y != NULL ? args->y + row * width : NULL;
    for (; i + W <= width; i += W) gate_gradient(kind, gate, dy, dgate, y, width, i, W);
    if (i < width) gate_gradient(kind, gate, dy, dgate, y, width, i, width - i);
  } else {
    const int64_t start = row * width, length = mf_min(width, args->count - start);
    const act *x = args->x + start, *dy = args->dy + start;
    act *dx = args->dx + start, *y = args->y != NULL ? args->y + start : NULL;
    for (; i + W <= length; i += W) plain_gradient(kind, x + i, dy + i, dx + i, y != NULL ? y + i : NULL, W);
    if (i < length) plain_gradient(kind, x + i, dy + i, dx + i, y != NULL ? y + i : NULL, length - i);
  }
}

// A loop per kind: the compiler then sees one straight formula in each.
#define MF_ACTIVATION_TASK(name, row_function)                                                                     \
  static void name(void *context, int64_t task, MF_UNUSED int worker) {                                            \
    const activation_context *args = context;                                                                      \
    const int64_t start = task * args->rows_per_task, end = mf_min(args->rows, start + args->rows_per_task);       \
    switch (args->kind) {                                                                                          \
    case MF_RELU:                                                                                                  \
      for (int64_t row = start; row < end; row++) row_function(args, MF_RELU, row);                                \
      break;                                                                                                       \
    case MF_RELU_SQUARED:                                                                                          \
      for (int64_t row = start; row < end; row++) row_function(args, MF_RELU_SQUARED, row);                        \
      break;                                                                                                       \
    case MF_SILU:                                                                                                  \
      for (int64_t row = start; row < end; row++) row_function(args, MF_SILU, row);                                \
      break;                                                                                                       \
    case MF_GELU:                                                                                                  \
      for (int64_t row = start; row < end; row++) row_function(args, MF_GELU, row);                                \
      break;                                                                                                       \
    case MF_GELU_TANH:                                                                                             \
      for (int64_t row = start; row < end; row++) row_function(args, MF_GELU_TANH, row);                           \
      break;                                                                                                       \
    }                                                                                                              \
  }
MF_ACTIVATION_TASK(activation_task, activation_row)
MF_ACTIVATION_TASK(activation_grad_task, activation_grad_row)
#undef MF_ACTIVATION_TASK

static void activation(mf_pool *pool, const mf_activation *args) {
  activation_context context = activation_plan(args->gated, args->kind, args->rows, args->width);
  context.x = args->x;
  context.y = args->y;
  mf_parallel(pool, mf_ceil_div(context.rows, context.rows_per_task), activation_task, &context);
}

static void activation_grad(mf_pool *pool, const mf_activation_grad *args) {
  activation_context context = activation_plan(args->gated, args->kind, args->rows, args->width);
  context.x = args->x;
  context.dy = args->dy;
  context.dx = args->dx;
  context.y = args->y;
  mf_parallel(pool, mf_ceil_div(context.rows, context.rows_per_task), activation_grad_task, &context);
}
