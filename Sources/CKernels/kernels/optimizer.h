// AdamW on flat ranges, one pass:
//   g ← s·g;  w ← w·(1 − ηλ);  m ← m + (1 − β1)(g − m);  v ← β2·v + (1 − β2)·g²
//   w ← w − (η/c1)·m / (√v/√c2 + ε),  c1 = 1 − β1ᵗ, c2 = 1 − β2ᵗ  (PyTorch's order of operations)
//
// The new weights are also left in storage type, for the products of the next step, where that is not fp32.
// Shapes: flat (count). Tasks: flat blocks. Bound: bytes (28 per element, 30 with the copy).
// Loshchilov & Hutter, arXiv:1711.05101, algorithm 2.

typedef struct {
  const mf_adamw *args;
  float decay, one_minus_beta1, one_minus_beta2, root_correction2, step;
} adamw_context;

MF_INLINE void adamw_step(const adamw_context *context, int64_t i, int64_t n) {
  const mf_adamw *args = context->args;
  const vf g = v_load_n(args->gradients + i, n) * args->gradient_scale;
  vf m = v_load_n(args->m + i, n), v = v_load_n(args->v + i, n);
  m = v_fma(g - m, (vf)context->one_minus_beta1, m);
  v = v_fma(g * context->one_minus_beta2, g, v * args->beta2);
  const vf denominator = v_sqrt(v) / context->root_correction2 + args->epsilon;
  const vf w = v_load_n(args->weights + i, n) * context->decay - context->step * (m / denominator);
  v_store_n(args->m + i, m, n);
  v_store_n(args->v + i, v, n);
  v_store_n(args->weights + i, w, n);
  if (args->copy != NULL) v_store_act_n((act *)args->copy + i, w, n);
}

static void adamw_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const adamw_context *context = opaque;
  const int64_t start = task * MF_FLAT_BLOCK, end = mf_min(context->args->count, start + MF_FLAT_BLOCK);
  int64_t i = start;
  for (; i + W <= end; i += W) adamw_step(context, i, W);
  if (i < end) adamw_step(context, i, end - i);
}

static void adamw(mf_pool *pool, const mf_adamw *args) {
  adamw_context context = {
      .args = args,
      .decay = (float)(1.0 - (double)args->learning_rate * args->weight_decay),
      .one_minus_beta1 = (float)(1.0 - (double)args->beta1),
      .one_minus_beta2 = (float)(1.0 - (double)args->beta2),
      .root_correction2 = (float)sqrt((double)args->bias_correction2),
      .step = (float)((double)args->learning_rate / args->bias_correction1),
  };
  flat_parallel(pool, args->count, adamw_task, &context);
}
