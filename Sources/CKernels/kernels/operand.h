// Attention's small products: in fp32, or of pairs of bf16 where the processor multiplies those.
//
// An operand has k in steps of STEP elements that lie side by side; k that is no multiple is filled up with zeros, so that
// whatever the other operand holds there (it must be finite) counts nothing.

#if MF_BF16_INSTRUCTIONS
typedef act operand;
enum { STEP = 2 };
#else
typedef float operand;
enum { STEP = 1 };
#endif

/// C = add + A·B for one tile. A(r, p): k contiguous, a[r·lda + p]; else steps of rows, a[(p / STEP)·lda + r·STEP + p mod
/// STEP]. B: a packed panel. C and `add` are fp32.
typedef struct {
  int64_t k;
  const operand *a; int64_t lda;
  const operand *b;
  float *c; int64_t ldc;
  const float *add; int64_t ld_add;  // may be c itself, or NULL
  int64_t columns;                   // ≤ NR
} small_tile;

MF_INLINE void small_tile_run(const small_tile *t, int64_t rows, const bool k_contiguous) {
#if MF_BF16_INSTRUCTIONS
  enum { BYTES = sizeof(operand) };
  const pair_tile pairs = {.pairs = mf_ceil_div(t->k, STEP), .a = (const char *)t->a,
                           .row_stride = k_contiguous ? t->lda * BYTES : PAIR,
                           .step_stride = k_contiguous ? PAIR : t->lda * BYTES, .b = t->b, .c = t->c, .ldc = t->ldc,
                           .c_fp32 = true, .add = t->add, .ld_add = t->ld_add, .add_fp32 = true, .columns = t->columns,
                           .fetch_a.at = (const char *)t->a, .fetch_b.at = (const char *)t->b};
  pair_tiles[rows][t->columns > W](&pairs);
#else
  const tile_args tile = {.k = t->k, .a = t->a, .lda = t->lda, .b = t->b, .ldb = NR, .c = t->c, .ldc = t->ldc,
                          .add = t->add, .ld_add = t->ld_add, .columns = t->columns};
  tiles[rows][k_contiguous][t->columns > W](&tile);
#endif
}

/// Elements of a panel of k rows.
MF_INLINE int64_t panel_elements(int64_t k) { return mf_round_up(k, STEP) * NR; }

/// Rows with k contiguous as the columns of panels.
MF_INLINE void pack_columns(const act *source, int64_t ld, int64_t rows, int64_t k, operand *panels) {
  for (int64_t j = 0; j < rows; j += NR) {
    const int64_t columns = mf_min(NR, rows - j);
#if MF_BF16_INSTRUCTIONS
    pack_pair_panel(source + j * ld, ld, k, columns, panels + j / NR * panel_elements(k));
#else
    pack_panel_transposed(source + j * ld, ld, k, columns, panels + j / NR * panel_elements(k));
#endif
  }
}

/// k rows of `columns` elements as the rows of panels that are `stride` elements apart.
MF_INLINE void pack_steps(
    const act *source, int64_t ld, int64_t k, int64_t columns, operand *panels, int64_t stride) {
#if MF_BF16_INSTRUCTIONS
  pack_pair_rows(source, ld, k, columns, panels, stride);
#else
  pack_rows(source, ld, k, columns, panels, stride);
#endif
}

/// Rows with k contiguous as a tile reads them: where they lie, or in `copy`, `ld` then its own.
MF_INLINE const operand *tile_operand(const act *source, int64_t *ld, int64_t rows, int64_t k, operand *copy) {
#if MF_BF16_INSTRUCTIONS
  if (k % STEP == 0) return source;
  const int64_t stride = mf_round_up(k, 2 * W);
  copy_pair_rows(source, *ld, rows, k, copy, stride);
  *ld = stride;
  return copy;
#else
  return tile_rows(source, ld, rows, k, copy);
#endif
}

/// A with rows contiguous, k steps `ld` apart (from a multiple of STEP on): as a tile reads it, where it lies or in `copy`.
MF_INLINE const operand *tile_operand_transposed(
    const operand *source, int64_t *ld, int64_t k, int64_t rows, operand *copy) {
#if MF_BF16_INSTRUCTIONS
  for (int64_t p = 0; p < k; p += STEP) {
    const operand *at = source + p * *ld;
    vd low, high;
    v_interleave_rows(v_load_pairs_n(at, rows), v_load_pairs_n(at + *ld, p + 1 < k ? rows : 0), &low, &high);
    *(vd_unaligned *)(copy + p / STEP * STRIP_STEP) = low;
  }
  *ld = STRIP_STEP;
  return copy;
#else
  (void)ld, (void)k, (void)rows, (void)copy;
  return source;
#endif
}

/// eˣ for x ≤ 0 as precise as an operand: of halves with a relative error of 3e-6, and never below 2⁻¹²⁶.
MF_INLINE vf v_exp_operand(vf x) {
#if MF_BF16_INSTRUCTIONS
  // The second argument is what remains of a NaN.
  const __m512 t = _mm512_max_ps((__m512)(vf)-126.0f, (__m512)(x * 1.44269504088896f));
  const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const vf r = (vf)t - (vf)n;
  vf p = v_fma(r, (vf)0.009570101906405337f, (vf)0.05591786031900919f);
  p = v_fma(p, r, (vf)0.24024744827981037f);
  p = v_fma(p, r, (vf)0.6931218147367594f);
  p = v_fma(p, r, (vf)0.9999992614456776f);
  return (vf)_mm512_scalef_ps((__m512)p, n);
#else
  return v_exp(x);
#endif
}

MF_INLINE vf v_load_operand(const operand *p) {
#if MF_BF16_INSTRUCTIONS
  return v_load_act(p);
#else
  return v_load(p);
#endif
}

MF_INLINE void v_store_operand(operand *p, vf v) {
#if MF_BF16_INSTRUCTIONS
  v_store_act(p, v);
#else
  v_store(p, v);
#endif
}
