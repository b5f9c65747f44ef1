// Packing of matrix operands into fp32 panels, and transposition by registers.
//
// A packed panel is [k][NR] (NR = 2 vectors): consecutive reads for the tile's loop, no cache-set conflicts from
// power-of-two strides, few pages. Columns beyond the matrix are zero.
// Bound: bytes (each element read and written once).

MF_INLINE vf v_interleave_low(vf a, vf b) {
#if MF_WIDTH == 16
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif MF_WIDTH == 8
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}

MF_INLINE vf v_interleave_high(vf a, vf b) {
#if MF_WIDTH == 16
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif MF_WIDTH == 8
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/// W×W transposition: log2(W) rounds of interleaving the upper with the lower half of the rows.
MF_INLINE void v_transpose(vf rows[W]) {
#pragma clang loop unroll(full)
  for (int round = 1; round < W; round *= 2) {
    vf next[W];
#pragma clang loop unroll(full)
    for (int i = 0; i < W / 2; i++) {
      next[2 * i] = v_interleave_low(rows[i], rows[i + W / 2]);
      next[2 * i + 1] = v_interleave_high(rows[i], rows[i + W / 2]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < W; i++) rows[i] = next[i];
  }
}

/// One panel of `columns` (≤ NR) rows of a transposed operand: panel[p][j] = source[j·ld + p].
MF_UNUSED static void pack_panel_transposed(const act *source, int64_t ld, int64_t k, int64_t columns, float *panel) {
  for (int half = 0; half < 2; half++) {
    const act *from = source + half * W * ld;
    float *to = panel + half * W;
    const int64_t rows = mf_max(0, mf_min(W, columns - half * W));
    int64_t p = 0;
    if (rows == W) {
      for (; p + W <= k; p += W) {
        vf block[W];
#pragma clang loop unroll(full)
        for (int i = 0; i < W; i++) block[i] = v_load_act(from + i * ld + p);
        v_transpose(block);
#pragma clang loop unroll(full)
        for (int i = 0; i < W; i++) v_store(to + (p + i) * NR, block[i]);
      }
    }
    for (; p < k; p += W) {
      vf block[W];
      const int64_t n = v_left(p, k);
      for (int i = 0; i < W; i++) block[i] = i < rows ? v_load_act_n(from + i * ld + p, n) : (vf)0.0f;
      v_transpose(block);
      for (int i = 0; i < n; i++) v_store(to + (p + i) * NR, block[i]);
    }
  }
}

/// Rows of an operand into panels of NR columns, row by row, so that memory is read in one stream:
/// panel j / NR holds [p][j mod NR] = source[p·ld + j]; panels are `stride` apart.
MF_UNUSED static void pack_rows(const act *source, int64_t ld, int64_t k, int64_t columns, float *panels, int64_t stride) {
  const int64_t whole = columns / NR, rest = columns - whole * NR;
  for (int64_t p = 0; p < k; p++) {
    const act *from = source + p * ld;
    float *to = panels + p * NR;
    for (int64_t panel = 0; panel < whole; panel++) {
      v_store(to, v_load_act(from));
      v_store(to + W, v_load_act(from + W));
      from += NR;
      to += stride;
    }
    if (rest > 0) {
      v_store(to, v_load_act_n(from, mf_min(W, rest)));
      v_store(to + W, rest > W ? v_load_act_n(from + W, rest - W) : (vf)0.0f);
    }
  }
}

/// Rows with k contiguous, copied to rows `stride` apart: their own stride may map all of them to one cache set, and
/// tiles read fp32. `stride` is a multiple of whole vectors, which are written: zeros behind k.
static void copy_rows(const act *source, int64_t ld, int64_t rows, int64_t k, float *copy, int64_t stride) {
  for (int64_t r = 0; r < rows; r++) {
    const act *from = source + r * ld;
    float *to = copy + r * stride;
    int64_t p = 0;
    for (; p + W <= k; p += W) v_store(to + p, v_load_act(from + p));
    if (p < k) v_store(to + p, v_load_act_n(from + p, k - p));
  }
}

/// Rows with k contiguous as a tile reads them: where they lie, or as halves widened into `copy`, `ld` then its own.
MF_INLINE const float *tile_rows(const act *source, int64_t *ld, int64_t rows, int64_t k, float *copy) {
  if (!MF_HALF) return (const float *)source;
  const int64_t stride = mf_round_up(k, W);
  copy_rows(source, *ld, rows, k, copy, stride);
  *ld = stride;
  return copy;
}
