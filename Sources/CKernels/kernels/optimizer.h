// AdamW on flat ranges, one pass:
//   g ← s·g;  w ← w·(1 − ηλ);  m ← m + (1 − β1)(g − m);  v ← β2·v + (1 − β2)·g²
//   w ← w − (η/c1)·m / (√v/√c2 + ε),  c1 = 1 − β1ᵗ, c2 = 1 − β2ᵗ  (PyTorch's order of operations)
//
// The new weights are also left in storage type, for the products of the next step, where that is not fp32.
// m and v may be bf16: rounded by chance, so that their mean is what fp32 would have.
// Shapes: flat (count). Tasks: flat blocks. Bound: bytes (28 per element, 30 with the copy, 22 with moments in bf16).
// Loshchilov & Hutter, arXiv:1711.05101, algorithm 2.

typedef struct {
  const mf_adamw *args;
  float decay, one_minus_beta1, one_minus_beta2, root_scale, step;
} adamw_context;

/// Updates n elements from i on, given their moments, which it leaves as they are before they are stored.
MF_INLINE void adamw_step(const adamw_context *context, int64_t i, int64_t n, vf *m, vf *v) {
  const mf_adamw *args = context->args;
  const vf g = v_load_n(args->gradients + i, n) * args->gradient_scale;
  *m = v_fma(g - *m, (vf)context->one_minus_beta1, *m);
  *v = v_fma(g * context->one_minus_beta2, g, *v * args->beta2);
  const vf denominator = v_sqrt(*v) * context->root_scale + args->epsilon;
  const vf w = v_load_n(args->weights + i, n) * context->decay - context->step * (*m / denominator);
  v_store_n(args->weights + i, w, n);
  if (args->copy != NULL) v_store_act_n((act *)args->copy + i, w, n);
}

MF_INLINE void adamw_full(const adamw_context *context, int64_t i, int64_t n) {
  float *first = (float *)context->args->m + i, *second = (float *)context->args->v + i;
  vf m = v_load_n(first, n), v = v_load_n(second, n);
  adamw_step(context, i, n, &m, &v);
  v_store_n(first, m, n);
  v_store_n(second, v, n);
}

#if defined(MF_STORES_BF16)
/// Words without visible order for words in any order. Wellons, "Prospecting for Hash Functions", 2018: lowbias32.
/// Much less work than Philox, which would take longer than all else here.
MF_INLINE vu v_hash(vu x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}

MF_INLINE void adamw_half(const adamw_context *context, int64_t i, int64_t n) {
  const mf_adamw *args = context->args;
  act *first = (act *)args->m + i, *second = (act *)args->v + i;
  vf m = v_load_act_n(first, n), v = v_load_act_n(second, n);
  adamw_step(context, i, n, &m, &v);
  const vu random = v_hash(((vu)v_lanes() + (uint32_t)i) ^ args->chance);
  v_store_by_chance_n(first, m, random & 0xffffu, n);
  v_store_by_chance_n(second, v, random >> 16, n);
}
#endif

static void adamw_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const adamw_context *context = opaque;
  const int64_t start = task * MF_FLAT_BLOCK, end = mf_min(context->args->count, start + MF_FLAT_BLOCK);
  int64_t i = start;
#if defined(MF_STORES_BF16)
  if (context->args->half_moments) {
    for (; i + W <= end; i += W) adamw_half(context, i, W);
    if (i < end) adamw_half(context, i, end - i);
    return;
  }
#endif
  for (; i + W <= end; i += W) adamw_full(context, i, W);
  if (i < end) adamw_full(context, i, end - i);
}

static void adamw(mf_pool *pool, const mf_adamw *args) {
  adamw_context context = {
      .args = args,
      .decay = (float)(1.0 - (double)args->learning_rate * args->weight_decay),
      .one_minus_beta1 = (float)(1.0 - (double)args->beta1),
      .one_minus_beta2 = (float)(1.0 - (double)args->beta2),
      // A factor, as the loop is bound by divisions.
      .root_scale = (float)(1.0 / sqrt((double)args->bias_correction2)),
      .step = (float)((double)args->learning_rate / args->bias_correction1),
  };
  flat_parallel(pool, args->count, adamw_task, &context);
}
