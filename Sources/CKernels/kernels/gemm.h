// C = initial + A·B + bias.

static void gemm_row_task(void *context, int64_t row, MF_UNUSED int worker) {
  const mf_gemm *args = context;
  float *c = args->c + row * args->ldc;
  for (int64_t j = 0; j < args->n; j++) {
    c[j] = args->initial != NULL ? args->initial[row * args->ld_initial + j] : 0.0f;
    if (args->bias != NULL) c[j] += args->bias[j];
  }
  for (int64_t p = 0; p < args->k && !args->b_transposed; p++) {
    const float a = args->a_transposed ? args->a[p * args->lda + row] : args->a[row * args->lda + p];
    for (int64_t j = 0; j < args->n; j++) c[j] = mf_fma(a, args->b[p * args->ldb + j], c[j]);
  }
  for (int64_t j = 0; j < args->n && args->b_transposed; j++) {
    float sum = 0;
    for (int64_t p = 0; p < args->k; p++)
      sum += (args->a_transposed ? args->a[p * args->lda + row] : args->a[row * args->lda + p])
             * args->b[j * args->ldb + p];
    c[j] += sum;
  }
}

static void gemm(mf_pool *pool, const mf_gemm *args) { mf_parallel(pool, args->m, gemm_row_task, (void *)args); }
