// Dropout: y = x ⊙ mask/(1 − rate), the mask a function of (seed, site, micro-step, element) alone.
//
// Element i uses word i mod 4 of Philox4x32-10 at counter (i/4, i/4 >> 32, site, micro_step), key = seed.
// Shapes: flat (count). Tasks: flat blocks. Bound: FLOPs (20 widening multiplications per 4 elements).
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// The high and low words of a·multiplier, lane by lane: two widening products of even and odd lanes.
MF_INLINE void philox_multiply(vu a, uint64_t multiplier, vu *high, vu *low) {
  const vl pairs = (vl)a, lower = (vl)(uint64_t)0xffffffffu, factor = (vl)multiplier;
  const vl even = (pairs & lower) * factor, odd = (pairs >> 32) * factor;
  *high = (vu)((even >> 32) | (odd & ~lower));
  *low = (vu)((even & lower) | (odd << 32));
}

/// Ten rounds on W counters at once; words[w] holds word w of each.
MF_INLINE void philox(vu words[4], uint64_t seed) {
  uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    vu high0, low0, high1, low1;
    philox_multiply(words[0], 0xD2511F53u, &high0, &low0);
    philox_multiply(words[2], 0xCD9E8D57u, &high1, &low1);
    words[0] = high1 ^ words[1] ^ key0;
    words[1] = low1;
    words[2] = high0 ^ words[3] ^ key1;
    words[3] = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

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
    // Counter-major order: lane l of words 0...3 are elements 4l...4l + 3.
    const vf low02 = v_interleave_low((vf)words[0], (vf)words[2]);
    const vf low13 = v_interleave_low((vf)words[1], (vf)words[3]);
    const vf high02 = v_interleave_high((vf)words[0], (vf)words[2]);
    const vf high13 = v_interleave_high((vf)words[1], (vf)words[3]);
    const vu in_order[4] = {(vu)v_interleave_low(low02, low13), (vu)v_interleave_high(low02, low13),
                            (vu)v_interleave_low(high02, high13), (vu)v_interleave_high(high02, high13)};
#pragma clang loop unroll(full)
    for (int part = 0; part < 4; part++) {
      const int64_t at = i + part * W, n = mf_max(0, v_left(at, end));
      const vf x = v_load_n(args->x + at, n) * context->scale;
      v_store_n(args->y + at, in_order[part] >= context->threshold ? x : (vf)0.0f, n);
    }
  }
}

static void dropout(mf_pool *pool, const mf_dropout *args) {
  if (args->rate >= 1.0f) {
    memset(args->y, 0, (size_t)args->count * sizeof *args->y);
    return;
  }
  dropout_context context = {args, (uint32_t)((double)args->rate * 4294967296.0), 1.0f / (1.0f - args->rate)};
  flat_parallel(pool, args->count, dropout_task, &context);
}
