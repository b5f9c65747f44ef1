// The inner loop of every matrix product here: a tile of C, MR rows by NV vectors, held in registers over all of k.
//
// acc(r, j) = Σ_p A(r, p)·B(p, j), one multiply-add chain per element in the order of p, so that no splitting of C into
// tiles changes a bit. A is read by broadcasts straight from where it lies, either with k contiguous (rows `lda` apart)
// or with rows contiguous (k steps `lda` apart); B's rows are `ldb` apart and read as vectors.
// Bound: FLOPs; MR·NV accumulators fill the registers (AVX-512: 14 × 2 of 32), so that MR + NV loads serve MR·NV
// multiply-adds.

#if MF_WIDTH == 16
#define MF_TILE_ROWS 14
#elif MF_WIDTH == 8
#define MF_TILE_ROWS 6
#elif MF_FMA
#define MF_TILE_ROWS 12
#else
#define MF_TILE_ROWS 4
#endif

enum { MR = MF_TILE_ROWS, NR = 2 * W };

/// C = add + A·B + bias for one tile; `columns` (≤ NR) of its last row and all others are written.
typedef struct {
  int64_t k;
  const float *a; int64_t lda;
  const float *b; int64_t ldb;
  float *c; int64_t ldc;
  const float *add; int64_t ld_add;  // may be c itself, or NULL
  const float *bias;                 // or NULL
  int64_t columns;
  const float *fetch;                // four rows of A needed later, or (rows contiguous) every fourth step; or NULL
} tile_args;

typedef void (*tile_function)(const tile_args *);

MF_INLINE void tile_store(const tile_args *t, const int rows, const int vectors, vf acc[MR][2]) {
  if (t->columns == vectors * W) {
    for (int v = 0; v < vectors; v++) {
      const vf bias = t->bias != NULL ? v_load(t->bias + v * W) : (vf)0.0f;
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        vf value = acc[r][v];
        if (t->add != NULL) value += v_load(t->add + r * t->ld_add + v * W);
        if (t->bias != NULL) value += bias;
        v_store(t->c + r * t->ldc + v * W, value);
      }
    }
    return;
  }
  for (int v = 0; v < vectors; v++) {
    const int64_t n = mf_min(W, t->columns - v * W);
    if (n <= 0) return;
    const vf bias = t->bias != NULL ? v_load_masked(t->bias + v * W, n) : (vf)0.0f;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      vf value = acc[r][v];
      if (t->add != NULL) value += v_load_masked(t->add + r * t->ld_add + v * W, n);
      if (t->bias != NULL) value += bias;
      v_store_masked(t->c + r * t->ldc + v * W, value, n);
    }
  }
}

// Step p of the loop over k, at the pointers' offset `u`.
MF_INLINE void tile_step(
    const float *const groups[], const float *a, int64_t lda, const float *b, const int u, const int rows,
    const int vectors, const bool k_contiguous, vf acc[MR][2]) {
  const vf b0 = v_load(b), b1 = vectors == 2 ? v_load(b + W) : b0;
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    const vf x = (vf)(k_contiguous ? groups[r / 3][(r % 3) * lda + u] : a[r]);
    acc[r][0] = v_fma(x, b0, acc[r][0]);
    if (vectors == 2) acc[r][1] = v_fma(x, b1, acc[r][1]);
  }
  // Keeps the compiler from merging steps' loads of A into vectors, which would cost registers the accumulators need.
  __asm__ volatile("" ::: "memory");
}

MF_INLINE void tile_run(const tile_args *t, const int rows, const int vectors, const bool k_contiguous) {
  vf acc[MR][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    acc[r][0] = (vf)0.0f;
    acc[r][1] = (vf)0.0f;
    // The tile of C is needed only after the loop over k: fetched meanwhile, also when it is only written.
    __builtin_prefetch(t->c + r * t->ldc, 1);
    if (vectors == 2) __builtin_prefetch(t->c + r * t->ldc + W, 1);
  }
  enum { UNROLL = 4 };
  const int group_count = k_contiguous ? (rows + 2) / 3 : 0;
  const int64_t k = t->k, ldb = t->ldb;
  int64_t lda = t->lda, p = 0;
  const float *a = t->a, *b = t->b, *fetch = t->fetch != NULL ? t->fetch : a;
  // Three rows share a pointer: lda and 2·lda fit the addressing mode, so that 14 rows need few registers.
  const float *groups[(MR + 2) / 3];
#pragma clang loop unroll(full)
  for (int g = 0; g < group_count; g++) groups[g] = a + 3 * g * lda;
  for (; p + UNROLL <= k; p += UNROLL) {
    // Opaque to the compiler, which would otherwise derive all rows from one pointer with an addition each.
#pragma clang loop unroll(full)
    for (int g = 0; g < group_count; g++) __asm__("" : "+r"(groups[g]), "+r"(lda));
    // One line per UNROLL steps: a line holds as many steps of a row as four rows take turns.
    __builtin_prefetch(k_contiguous ? fetch + p / UNROLL % 4 * lda + p : fetch + p * lda, 0, 2);
#pragma clang loop unroll(full)
    for (int u = 0; u < UNROLL; u++) {
      tile_step(groups, a, lda, b, u, rows, vectors, k_contiguous, acc);
      b += ldb;
      a += lda;
    }
#pragma clang loop unroll(full)
    for (int g = 0; g < group_count; g++) groups[g] += UNROLL;
  }
#pragma clang loop unroll(disable)
  for (; p < k; p++) {
    tile_step(groups, a, lda, b, 0, rows, vectors, k_contiguous, acc);
    b += ldb;
    a += lda;
#pragma clang loop unroll(full)
    for (int g = 0; g < group_count; g++) groups[g]++;
  }
  tile_store(t, rows, vectors, acc);
}

#define MF_TILE(rows)                                                                                              \
  static void tile_##rows##_1_k(const tile_args *t) { tile_run(t, rows, 1, true); }                                \
  static void tile_##rows##_2_k(const tile_args *t) { tile_run(t, rows, 2, true); }                                \
  static void tile_##rows##_1_r(const tile_args *t) { tile_run(t, rows, 1, false); }                               \
  static void tile_##rows##_2_r(const tile_args *t) { tile_run(t, rows, 2, false); }
#define MF_TILE_ENTRY(rows)                                                                                        \
  [rows] = {{tile_##rows##_1_r, tile_##rows##_2_r}, {tile_##rows##_1_k, tile_##rows##_2_k}},

#define MF_TILES_4(do) do(1) do(2) do(3) do(4)
#define MF_TILES_6(do) MF_TILES_4(do) do(5) do(6)
#define MF_TILES_12(do) MF_TILES_6(do) do(7) do(8) do(9) do(10) do(11) do(12)
#define MF_TILES_14(do) MF_TILES_12(do) do(13) do(14)
#define MF_TILES_(count) MF_TILES_##count
#define MF_TILES(count) MF_TILES_(count)

MF_TILES(MF_TILE_ROWS)(MF_TILE)

/// [rows][k contiguous][vectors − 1]
static const tile_function tiles[MR + 1][2][2] = {MF_TILES(MF_TILE_ROWS)(MF_TILE_ENTRY)};

#undef MF_TILE
#undef MF_TILE_ENTRY

/// How many strips of at most MR rows m rows are cut into.
MF_INLINE int64_t strip_count(int64_t m) { return mf_ceil_div(m, MR); }

/// Where part i begins of a count that is cut into parts, all nearly equal.
MF_INLINE int64_t split_start(int64_t count, int64_t parts, int64_t i) {
  return i * (count / parts) + mf_min(i, count % parts);
}
