// Packing for the bf16 tile: neighbours along k side by side, odd k filled up with a zero.
//
// B becomes panels of [pairs][NR][2], columns beyond the matrix zero; a transposed A becomes strips of [pairs][W][2], of
// which MR rows count. Where k is contiguous, a pair is one 32-bit number, and packing is a transposition of those.
// Bound: bytes (each element read and written once).

enum { STRIP_STEP = 2 * W };  // elements of a packed strip for each pair of k

/// n (0...32) elements, zeros behind them.
MF_INLINE vd v_load_pairs_n(const act *p, int64_t n) {
  return (vd)_mm512_maskz_loadu_epi16((__mmask32)(((uint64_t)1 << n) - 1), p);
}

/// One panel of `columns` (≤ NR) rows with k contiguous, `ld` apart: panel[p][j] = the pair p of row j.
static void pack_pair_panel(const act *source, int64_t ld, int64_t k, int64_t columns, act *panel) {
  const int64_t pairs = mf_ceil_div(k, 2);
  for (int half = 0; half < 2; half++) {
    const act *from = source + half * W * ld;
    act *to = panel + half * NR;
    const int64_t rows = mf_max(0, mf_min(W, columns - half * W));
    int64_t p = 0;
    if (rows == W)
      for (; 2 * (p + W) <= k; p += W) {
        vf block[W];
#pragma clang loop unroll(full)
        for (int i = 0; i < W; i++) block[i] = (vf)v_load_pairs(from + i * ld + 2 * p);
        v_transpose(block);
#pragma clang loop unroll(full)
        for (int i = 0; i < W; i++) *(vf_unaligned *)(to + (p + i) * PANEL_STEP) = block[i];
      }
    for (; p < pairs; p += W) {
      vf block[W];
      const int64_t n = mf_min(2 * W, k - 2 * p);
      for (int i = 0; i < W; i++) block[i] = i < rows ? (vf)v_load_pairs_n(from + i * ld + 2 * p, n) : (vf)0.0f;
      v_transpose(block);
      for (int i = 0; i < v_left(p, pairs); i++) *(vf_unaligned *)(to + (p + i) * PANEL_STEP) = block[i];
    }
  }
}

/// Two rows' 32 elements side by side: low and high half.
MF_INLINE void v_interleave_rows(vd even, vd odd, vd *low, vd *high) {
  const vu lanes = (vu)v_lanes(), index = lanes | (lanes + 32) << 16;
  *low = (vd)_mm512_permutex2var_epi16((__m512i)even, (__m512i)index, (__m512i)odd);
  *high = (vd)_mm512_permutex2var_epi16((__m512i)even, (__m512i)(index + 0x00100010u), (__m512i)odd);
}

/// k rows of `columns` elements into panels `stride` elements apart: panel j / NR holds [p][j mod NR] = rows 2p, 2p + 1.
static void pack_pair_rows(const act *source, int64_t ld, int64_t k, int64_t columns, act *panels, int64_t stride) {
  for (int64_t p = 0; p < k; p += 2) {
    const bool both = p + 1 < k;
    const act *even = source + p * ld, *odd = both ? even + ld : even;
    act *to = panels + p / 2 * PANEL_STEP;
    for (int64_t j = 0; j < columns; j += NR, to += stride) {
      const int64_t n = mf_min(NR, columns - j);
      vd low, high;
      if (n == NR && both) v_interleave_rows(v_load_pairs(even + j), v_load_pairs(odd + j), &low, &high);
      else v_interleave_rows(v_load_pairs_n(even + j, n), v_load_pairs_n(odd + j, both ? n : 0), &low, &high);
      *(vd_unaligned *)to = low;
      *(vd_unaligned *)(to + NR) = high;
    }
  }
}

/// k rows of `rows` (≤ 2W) elements of a transposed A into two strips, the first of `split` (≤ W):
/// strip[p][i] = rows 2p, 2p + 1 at i. The sums over k are on the way: left in `sums` (rows), or added, unless it is NULL.
static void pack_pair_strips(
    const act *source, int64_t ld, int64_t k, int64_t split, int64_t rows, act *strip, act *other, float *sums, bool adds) {
  const vd ones = (vd)0x3f803f80u;
  vf sum0 = (vf)0.0f, sum1 = (vf)0.0f;
  const vu lanes = (vu)v_lanes(), first = lanes | (lanes + 32) << 16, second = first + (uint32_t)split * 0x10001u;
  for (int64_t p = 0; p < k; p += 2) {
    const act *at = source + p * ld;
    const __m512i even = (__m512i)v_load_pairs_n(at, rows);
    const __m512i odd = p + 1 < k ? (__m512i)v_load_pairs_n(at + ld, rows) : (__m512i)(vu)0u;
    const vd pairs0 = (vd)_mm512_permutex2var_epi16(even, (__m512i)first, odd);
    const vd pairs1 = (vd)_mm512_permutex2var_epi16(even, (__m512i)second, odd);
    *(vd_unaligned *)(strip + p / 2 * STRIP_STEP) = pairs0;
    *(vd_unaligned *)(other + p / 2 * STRIP_STEP) = pairs1;
    sum0 = v_dot(pairs0, ones, sum0);
    sum1 = v_dot(pairs1, ones, sum1);
  }
  if (sums == NULL) return;
  const int64_t left = rows - split;
  v_store_n(sums, adds ? v_load_n(sums, split) + sum0 : sum0, split);
  v_store_n(sums + split, adds ? v_load_n(sums + split, left) + sum1 : sum1, left);
}

/// Rows with k contiguous, copied to rows `stride` (a multiple of 2W) elements apart, zeros behind k.
static void copy_pair_rows(const act *source, int64_t ld, int64_t rows, int64_t k, act *copy, int64_t stride) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t p = 0; p < k; p += 2 * W)
      *(vd_unaligned *)(copy + r * stride + p) = v_load_pairs_n(source + r * ld + p, mf_min(2 * W, k - p));
}
