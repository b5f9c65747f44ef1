// The inner loop of products of bf16 by vdpbf16ps: a tile of C, MR rows by NR columns, in registers over all of k.
//
// acc(r, j) += A(r, 2p)·B(2p, j) + A(r, 2p + 1)·B(2p + 1, j): an instruction takes a pair of neighbours along k. A pair
// of A is broadcast as 32 bits from anywhere (rows and steps have strides of their own, so that a matrix with k
// contiguous is read where it lies); B comes in panels of [pairs][NR][2]. One chain of sums per element in the order of
// p, so that no splitting of C into tiles changes a bit.
// Bound: FLOPs; 14 · 2 accumulators, two vectors of B and a broadcast fill the 32 registers.

enum { PAIR = 2 * sizeof(act), PANEL_STEP = 2 * NR };  // bytes; elements of a panel for each pair of k

/// Memory needed later, which a tile's loop fetches on the way into the second-level cache: at i·step + (i mod 4)·turn for
/// i in 0..<pairs / 4. A line holds as many pairs of a row as four rows take turns.
typedef struct {
  const char *at;
  int64_t step, turn;  // bytes
} tile_fetch;

/// C = add + A·B + bias for one tile; `columns` (≤ NR) of all rows are written.
typedef struct {
  int64_t pairs;
  const char *a; int64_t row_stride, step_stride;  // bytes between rows and between pairs
  const act *b;
  void *c; int64_t ldc; bool c_fp32;
  const void *add; int64_t ld_add; bool add_fp32;  // may be c itself, or NULL
  const float *bias;                               // or NULL
  int64_t columns;
  tile_fetch fetch_a, fetch_b;
} pair_tile;

typedef void (*pair_tile_function)(const pair_tile *);

typedef uint32_t vd __attribute__((ext_vector_type(16)));
typedef vd vd_unaligned __attribute__((aligned(2), may_alias));
typedef uint32_t pair_unaligned __attribute__((aligned(2), may_alias));

MF_INLINE vd v_load_pairs(const void *p) { return *(const vd_unaligned *)p; }
MF_INLINE vf v_dot(vd a, vd b, vf sum) { return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b); }

/// 32 sums, rounded.
MF_INLINE void v_store_rounded(act *p, vf low, vf high) {
  *(vd_unaligned *)p = (vd)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

/// What no fast path of pair_tile_store is for: columns to be masked, mixed types.
static void pair_tile_finish(const pair_tile *t, int rows, const float *sums) {
  for (int r = 0; r < rows; r++, sums += NR)
    for (int64_t j = 0; j < t->columns; j += W) {
      const int64_t n = v_left(j, t->columns), at = r * t->ldc + j;
      vf value = v_load(sums + j);
      if (t->add != NULL) {
        const int64_t from = r * t->ld_add + j;
        value += t->add_fp32 ? v_load_n((const float *)t->add + from, n) : v_load_act_n((const act *)t->add + from, n);
      }
      if (t->c_fp32) v_store_n((float *)t->c + at, value, n);
      else v_store_act_n((act *)t->c + at, value, n);
    }
}

MF_INLINE void pair_tile_store(const pair_tile *t, const int rows, const int vectors, vf acc[MR][2]) {
  const bool whole = vectors == 2 && t->columns == NR;
  if (whole && t->c_fp32 && (t->add == NULL || t->add_fp32)) {
    float *c = t->c;
    if (t->add == NULL) {
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++, c += t->ldc) {
        v_store(c, acc[r][0]);
        v_store(c + W, acc[r][1]);
      }
      return;
    }
    const float *add = t->add;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++, c += t->ldc, add += t->ld_add) {
      v_store(c, acc[r][0] + v_load(add));
      v_store(c + W, acc[r][1] + v_load(add + W));
    }
    return;
  }
  if (whole && !t->c_fp32 && (t->add == NULL || !t->add_fp32)) {
    act *c = t->c;
    if (t->add == NULL) {
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++, c += t->ldc) v_store_rounded(c, acc[r][0], acc[r][1]);
      return;
    }
    const act *add = t->add;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++, c += t->ldc, add += t->ld_add)
      v_store_rounded(c, acc[r][0] + v_load_act(add), acc[r][1] + v_load_act(add + W));
    return;
  }
  float sums[MR * NR];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    v_store(sums + r * NR, acc[r][0]);
    if (vectors == 2) v_store(sums + r * NR + W, acc[r][1]);
  }
  pair_tile_finish(t, rows, sums);
}

/// One pair of k: groups[r / 3] points to rows r, r + 1, r + 2.
MF_INLINE void pair_tile_step(
    const char *const groups[], int64_t row_stride, const act *b, const int rows, const int vectors, vf acc[MR][2]) {
  const vd b0 = v_load_pairs(b), b1 = vectors == 2 ? v_load_pairs(b + NR) : b0;
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    const vd x = (vd) * (const pair_unaligned *)(groups[r / 3] + r % 3 * row_stride);
    acc[r][0] = v_dot(x, b0, acc[r][0]);
    if (vectors == 2) acc[r][1] = v_dot(x, b1, acc[r][1]);
  }
  // Keeps the compiler from merging steps' loads of A into vectors, which would cost registers the accumulators need.
  __asm__ volatile("" ::: "memory");
}

MF_INLINE void pair_tile_run(const pair_tile *t, const int rows, const int vectors) {
  vf acc[MR][2];
  const vf bias0 = t->bias != NULL ? v_load_n(t->bias, mf_min(W, t->columns)) : (vf)0.0f;
  const vf bias1 = t->bias != NULL && vectors == 2 ? v_load_n(t->bias + W, t->columns - W) : (vf)0.0f;
  const int64_t size = t->c_fp32 ? sizeof(float) : sizeof(act), ld_c = t->ldc * size;
  const char *c = t->c;
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    acc[r][0] = bias0;
    acc[r][1] = bias1;
    // The tile of C is needed only after the loop over k: fetched meanwhile, also when it is only written.
    __builtin_prefetch(c, 1);
    __builtin_prefetch(c + W * size, 1);
    c += ld_c;
  }
  enum { UNROLL = 4 };
  const int group_count = (rows + 2) / 3;
  int64_t row_stride = t->row_stride, left = t->pairs;
  const int64_t step_stride = t->step_stride;
  const act *b = t->b;
  const tile_fetch fetch_a = t->fetch_a, fetch_b = t->fetch_b;
  // Three rows share a pointer: the stride and twice the stride fit the addressing mode: 14 rows need few registers.
  const char *groups[(MR + 2) / 3];
#pragma clang loop unroll(full)
  for (int g = 0; g < group_count; g++) groups[g] = t->a + 3 * g * row_stride;
  for (int64_t i = 0; left >= UNROLL; left -= UNROLL, i++) {
    __builtin_prefetch(fetch_a.at + i * fetch_a.step + i % 4 * fetch_a.turn, 0, 2);
    __builtin_prefetch(fetch_b.at + i * fetch_b.step + i % 4 * fetch_b.turn, 0, 2);
#pragma clang loop unroll(full)
    for (int u = 0; u < UNROLL; u++) {
      // Opaque to the compiler, which would otherwise derive all rows from one pointer with an addition each.
#pragma clang loop unroll(full)
      for (int g = 0; g < group_count; g++) __asm__("" : "+r"(groups[g]), "+r"(row_stride));
      pair_tile_step(groups, row_stride, b, rows, vectors, acc);
      b += PANEL_STEP;
#pragma clang loop unroll(full)
      for (int g = 0; g < group_count; g++) groups[g] += step_stride;
    }
  }
#pragma clang loop unroll(disable)
  for (; left > 0; left--) {
    pair_tile_step(groups, row_stride, b, rows, vectors, acc);
    b += PANEL_STEP;
#pragma clang loop unroll(full)
    for (int g = 0; g < group_count; g++) groups[g] += step_stride;
  }
  pair_tile_store(t, rows, vectors, acc);
}

#define MF_TILE(rows)                                                                                              \
  static void pair_tile_##rows##_1(const pair_tile *t) { pair_tile_run(t, rows, 1); }                              \
  static void pair_tile_##rows##_2(const pair_tile *t) { pair_tile_run(t, rows, 2); }
#define MF_TILE_ENTRY(rows) [rows] = {pair_tile_##rows##_1, pair_tile_##rows##_2},

MF_TILES(MF_TILE_ROWS)(MF_TILE)

/// [rows][vectors − 1]
static const pair_tile_function pair_tiles[MR + 1][2] = {MF_TILES(MF_TILE_ROWS)(MF_TILE_ENTRY)};

#undef MF_TILE
#undef MF_TILE_ENTRY
