// Packing of matrix operands into panels, and transposition by registers.
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
static void pack_panel_transposed(const float *source, int64_t ld, int64_t k, int64_t columns, float *panel) {
  for (int half = 0; half < 2; half++) {
    const float *from = source + half * W * ld;
    float *to = panel + half * W;
    const int64_t rows = mf_max(0, mf_min(W, columns - half * W));
    int64_t p = 0;
    if (rows == W) {
      for (; p + W <= k; p += W) {
        vf block[W];
#pragma clang loop unroll(full)
        for (int i = 0; i < W; i++) block[i] = v_load(from + i * ld + p);
        v_transpose(block);
#pragma clang loop unroll(full)
        for (int i = 0; i < W; i++) v_store(to + (p + i) * NR, block[i]);
      }
    }
    for (; p < k; p += W) {
      vf block[W];
      const int64_t n = v_left(p, k);
      for (int i = 0; i < W; i++) block[i] = i < rows ? v_load_n(from + i * ld + p, n) : (vf)0.0f;
      v_transpose(block);
      for (int i = 0; i < n; i++) v_store(to + (p + i) * NR, block[i]);
    }
  }
}

/// One panel of `columns` (≤ NR) columns: panel[p][j] = source[p·ld + j].
static void pack_panel(const float *source, int64_t ld, int64_t k, int64_t columns, float *panel) {
  if (columns == NR) {
    for (int64_t p = 0; p < k; p++) {
      v_store(panel + p * NR, v_load(source + p * ld));
      v_store(panel + p * NR + W, v_load(source + p * ld + W));
    }
    return;
  }
  const int64_t first = mf_min(W, columns), second = columns - first;
  for (int64_t p = 0; p < k; p++) {
    v_store(panel + p * NR, v_load_n(source + p * ld, first));
    v_store(panel + p * NR + W, second > 0 ? v_load_n(source + p * ld + W, second) : (vf)0.0f);
  }
}

/// A strip of `rows` (≤ MR) rows of a transposed A, whose rows are contiguous: strip[p][r] = source[p·ld + r].
static void pack_strip(const float *source, int64_t ld, int64_t k, int64_t rows, float *strip) {
  for (int64_t p = 0; p < k; p++) {
    const float *from = source + p * ld;
    float *to = strip + p * rows;
    int64_t r = 0;
    for (; r + W <= rows; r += W) v_store(to + r, v_load(from + r));
    if (r < rows) v_store_n(to + r, v_load_n(from + r, rows - r), rows - r);
  }
}
