// Scaled dot-product attention.

MF_INLINE void attention_range(const mf_attention *args, int64_t b, int64_t i, int64_t *start, int64_t *end) {
  *start = 0;
  *end = args->time;
  if (args->mask == MF_MASK_CAUSAL) *end = i + 1;
  if (args->mask == MF_MASK_RANGES) {
    *start = mf_max(0, args->ranges[2 * (b * args->time + i)]);
    *end = mf_min(args->time, args->ranges[2 * (b * args->time + i) + 1]);
  }
}

static void attention_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_attention *args = context;
  const int64_t T = args->time, D = args->head_size, group = args->heads / args->kv_heads;
  const int64_t b = task / args->heads, h = task % args->heads, kv = h / group;
  for (int64_t i = 0; i < T; i++) {
    int64_t start, end;
    attention_range(args, b, i, &start, &end);
    const float *q = args->q + (b * T + i) * args->ld_q + h * D;
    float *o = args->o + (b * T + i) * args->ld_o + h * D;
    float largest = -INFINITY, sum = 0;
    memset(o, 0, (size_t)D * sizeof *o);
    for (int64_t j = start; j < end; j++) {
      const float *k = args->k + (b * T + j) * args->ld_kv + kv * D, *v = args->v + (b * T + j) * args->ld_kv + kv * D;
      float s = 0;
      for (int64_t d = 0; d < D; d++) s += q[d] * k[d];
      s *= args->scale;
      const float new_largest = s > largest ? s : largest, decay = expf(largest - new_largest);
      const float p = expf(s - new_largest);
      sum = sum * decay + p;
      for (int64_t d = 0; d < D; d++) o[d] = o[d] * decay + p * v[d];
      largest = new_largest;
    }
    for (int64_t d = 0; d < D && sum > 0; d++) o[d] /= sum;
    args->lse[(b * args->heads + h) * T + i] = sum > 0 ? largest + logf(sum) : -INFINITY;
  }
}

static void attention(mf_pool *pool, const mf_attention *args) {
  mf_parallel(pool, args->batch * args->heads, attention_task, (void *)args);
}

static void attention_grad_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_attention_grad *grad = context;
  const mf_attention *args = &grad->forward;
  const int64_t T = args->time, D = args->head_size, group = args->heads / args->kv_heads;
  const int64_t b = task / args->kv_heads, kv = task % args->kv_heads;
  for (int64_t j = 0; j < T; j++) {
    memset(grad->dk + (b * T + j) * grad->ld_dkv + kv * D, 0, (size_t)D * sizeof(float));
    memset(grad->dv + (b * T + j) * grad->ld_dkv + kv * D, 0, (size_t)D * sizeof(float));
  }
  for (int64_t h = kv * group; h < (kv + 1) * group; h++)
    for (int64_t i = 0; i < T; i++) {
      int64_t start, end;
      attention_range(args, b, i, &start, &end);
      const float *q = args->q + (b * T + i) * args->ld_q + h * D, *o = args->o + (b * T + i) * args->ld_o + h * D;
      const float *g = grad->do_ + (b * T + i) * grad->ld_do + h * D;
      float *dq = grad->dq + (b * T + i) * grad->ld_dq + h * D, delta = 0;
      const float lse = args->lse[(b * args->heads + h) * T + i];
      memset(dq, 0, (size_t)D * sizeof *dq);
      for (int64_t d = 0; d < D; d++) delta += g[d] * o[d];
      for (int64_t j = start; j < end; j++) {
        const int64_t row = b * T + j;
        const float *k = args->k + row * args->ld_kv + kv * D, *v = args->v + row * args->ld_kv + kv * D;
        float *dk = grad->dk + row * grad->ld_dkv + kv * D, *dv = grad->dv + row * grad->ld_dkv + kv * D;
        float s = 0, dp = 0;
        for (int64_t d = 0; d < D; d++) s += q[d] * k[d], dp += g[d] * v[d];
        const float p = expf(s * args->scale - lse), ds = p * (dp - delta) * args->scale;
        for (int64_t d = 0; d < D; d++) dv[d] += p * g[d], dq[d] += ds * k[d], dk[d] += ds * q[d];
      }
    }
}

static void attention_grad(mf_pool *pool, const mf_attention_grad *args) {
  mf_parallel(pool, args->forward.batch * args->forward.kv_heads, attention_grad_task, (void *)args);
}

static void cached_attention_task(void *context, int64_t task, MF_UNUSED int worker) {
  const mf_cached_attention *args = context;
  const int64_t T = args->time, D = args->head_size, group = args->heads / args->kv_heads, ld = args->kv_heads * D;
  const int64_t b = task / args->kv_heads, kv = task % args->kv_heads;
  float *keys = args->k_cache + b * args->capacity * ld + kv * D, *values = args->v_cache + b * args->capacity * ld + kv * D;
  for (int64_t t = 0; t < T; t++) {
    memcpy(keys + args->positions[b * T + t] * ld, args->k + (b * T + t) * args->ld_kv + kv * D, (size_t)D * 4);
    memcpy(values + args->positions[b * T + t] * ld, args->v + (b * T + t) * args->ld_kv + kv * D, (size_t)D * 4);
  }
  for (int64_t h = kv * group; h < (kv + 1) * group; h++)
    for (int64_t t = 0; t < T; t++) {
      const float *q = args->q + (b * T + t) * args->ld_q + h * D;
      float *o = args->o + (b * T + t) * args->ld_o + h * D, largest = -INFINITY, sum = 0;
      memset(o, 0, (size_t)D * sizeof *o);
      for (int64_t j = 0; j <= args->positions[b * T + t]; j++) {
        float s = 0;
        for (int64_t d = 0; d < D; d++) s += q[d] * keys[j * ld + d];
        s *= args->scale;
        const float new_largest = s > largest ? s : largest, decay = expf(largest - new_largest);
        const float p = expf(s - new_largest);
        sum = sum * decay + p;
        for (int64_t d = 0; d < D; d++) o[d] = o[d] * decay + p * values[j * ld + d];
        largest = new_largest;
      }
      for (int64_t d = 0; d < D; d++) o[d] /= sum;
    }
}

static void cached_attention(mf_pool *pool, const mf_cached_attention *args) {
  mf_parallel(pool, args->batch * args->kv_heads, cached_attention_task, (void *)args);
}
