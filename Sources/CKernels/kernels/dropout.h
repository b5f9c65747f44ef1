// Dropout: y = x ⊙ mask/(1 − rate), the mask a function of (seed, site, micro-step, element) alone.
//
// Element i uses word i mod 4 of Philox4x32-10 at counter (i/4, i/4 >> 32, site, micro_step), key = seed.
// Shapes: flat (count). Tasks: flat blocks. Bound: FLOPs (20 widening multiplications per 4 elements).

typedef struct {
  const mf_dropout *args;
  uint32_t threshold;
  float scale;
} dropout_context;

static void dropout_task(void *opaque, int64_t task, MF_UNUSED int worker) {
  const dropout_context *context = opaque;
  const mf_dropout *args = context->args;
  const int64_t start = task * MF_FLAT_BLOCK, end = mf_min(args->count, start + MF_FLAT_BLOCK);
  for (int64_t i = start; i < end; i += 4 * W) {
    const uint64_t counter = (uint64_t)i / 4;
    // A block's first counter is a multiple of W, so that no lane carries into the upper word.
    vu words[4] = {(vu)v_lanes() + (uint32_t)counter, (vu)(uint32_t)(counter >> 32), (vu)args->site,
                   (vu)args->micro_step};
    philox(words, args->seed);
    vu in_order[4];
    philox_in_order(words, in_order);
#pragma clang loop unroll(full)
    for (int part = 0; part < 4; part++) {
      const int64_t at = i + part * W, n = mf_max(0, v_left(at, end));
      const vf x = v_load_act_n((const act *)args->x + at, n) * context->scale;
      v_store_act_n((act *)args->y + at, in_order[part] >= context->threshold ? x : (vf)0.0f, n);
    }
  }
}

static void dropout(mf_pool *pool, const mf_dropout *args) {
  if (args->rate >= 1.0f) {
    memset(args->y, 0, (size_t)args->count * sizeof(act));
    return;
  }
  dropout_context context = {args, dropout_threshold(args->rate), 1.0f / (1.0f - args->rate)};
  flat_parallel(pool, args->count, dropout_task, &context);
}
