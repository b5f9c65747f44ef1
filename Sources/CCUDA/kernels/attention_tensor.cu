// Attention and its gradient on tensor cores, for halves (bf16 from sm_80 on, fp16 from sm_75 on).
//
// Equations and shapes: attention.cuh. Head sizes 32, 64, 96 and 128: names end with it. Rows and heads begin at
// multiples of 16 bytes, scale > 0; else attention.cu.
//
// Tiles of rows lie in shared memory as they do outside, but with their 16-byte chunks permuted (swizzled), so that the
// eight rows of an 8 × 8 matrix lie in different banks. cp.async fills one stage while the other is worked on.
// Fragments: ptx.cuh. Lane 4g + t of a warp has rows g and g + 8 of a 16-row tile, and columns 2t and 2t + 1 of each 8.
// Bound: FLOPs (forward 4·D, backward 10·D in one pass and 14·D in two, per visible pair of query and key).
#include "common.cuh"
#include "philox.cuh"

#include "attention.cuh"

#if MF_STORAGE != 0

constexpr int WARPS = 4, THREADS = 32 * WARPS;
constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;

MF_DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if MF_STORAGE == 1
  mma_m16n8k16_bf16(c, a, b0, b1);
#else
  mma_m16n8k16_fp16(c, a, b0, b1);
#endif
}

// MARK: Tiles in shared memory

/// Rows of D halves. Rows of 64 or 192 bytes change the half of the banks by themselves, from one to the next.
template <int D>
struct tile {
  static constexpr int CHUNKS = D / 8, ROW = 2 * D, TURNS = CHUNKS % 8 == 0 ? 8 : 4;
  unsigned char *bytes;

  /// Where a chunk lies, from the first row on.
  static MF_DEVICE int place(int row, int chunk) {
    return row * ROW + (chunk ^ (TURNS == 8 ? row & 7 : row >> 1 & 3)) * 16;
  }

  MF_DEVICE unsigned char *at(int row, int chunk) const { return bytes + place(row, chunk); }

  /// Where a lane's row of a fragment lies, from the fragment's first row on: of the fragment in the first 16 columns.
  struct lanes {
    int straight, crossed;
    MF_DEVICE lanes() {
      const int lane = threadIdx.x % 32;
      straight = place(lane % 16, lane / 16);
      crossed = place(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    }
  };

  /// The fragment at rows row..<row + 16 (a multiple of 16) and columns 16·step and on. Chunks are permuted by bits of an
  /// address that nothing else is in: one exclusive or finds another step.
  MF_DEVICE const unsigned char *fragment(int lane_place, int row, int step) const {
    const int turned = step % (TURNS / 2);
    return bytes + (lane_place ^ turned * 32) + (row * ROW + (step - turned) * 32);
  }

  /// Starts copying ROWS rows from `first` on, by a block of so many threads; zeros from row `end` on.
  template <int ROWS, int COUNT = THREADS>
  MF_DEVICE void fill(const act *p, int64_t ld, int first, int end) const {
    constexpr int EACH = COUNT / CHUNKS;
    if constexpr (COUNT % CHUNKS == 0 && EACH % 8 == 0) {
      // A thread has the same chunk in each of its rows, and that has the same place.
      static_assert(ROWS % EACH == 0);
      const int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
      const act *from = p + int64_t(first + row) * ld + chunk * 8;
      unsigned char *const to = at(row, chunk);
#pragma unroll
      for (int i = 0; i < ROWS; i += EACH, from += EACH * ld) cp_async_16(to + i * ROW, from, first + row + i < end);
    } else {
      // Not unrolled: the addresses would take more registers than there are.
#pragma unroll 1
      for (int i = threadIdx.x; i < ROWS * CHUNKS; i += COUNT) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const bool exists = first + row < end;
        cp_async_16(at(row, chunk), p + int64_t(exists ? first + row : 0) * ld + chunk * 8, exists);
      }
    }
  }

  /// A: rows row..<row + 16, columns 16·step and on.
  MF_DEVICE void left(uint32_t (&a)[4], lanes own, int row, int step) const {
    ldmatrix_x4(a, fragment(own.straight, row, step));
  }

  /// B = the transpose of rows row..<row + 16, columns 16·step and on: b[0], b[1] for the first eight rows, b[2], b[3].
  MF_DEVICE void right_transposed(uint32_t (&b)[4], lanes own, int row, int step) const {
    ldmatrix_x4(b, fragment(own.crossed, row, step));
  }

  /// B = rows row..<row + 16, columns 16·column and on: b[0], b[1] for the first eight columns, b[2], b[3].
  MF_DEVICE void right(uint32_t (&b)[4], lanes own, int row, int column) const {
    ldmatrix_x4_trans(b, fragment(own.straight, row, column));
  }

  /// A = the transpose of columns 16·column and on, rows row..<row + 16.
  MF_DEVICE void left_transposed(uint32_t (&a)[4], lanes own, int row, int column) const {
    ldmatrix_x4_trans(a, fragment(own.crossed, row, column));
  }

  /// Stores a warp's 16 rows of results at `row`, which no other warp uses, and from there to p.
  MF_DEVICE void empty(const float (&c)[D / 8][4], float low_factor, float high_factor, int row, act *p, int64_t ld,
                       int first, int end) const {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
      *reinterpret_cast<uint32_t *>(at(row + g, n) + 4 * t) = pack_act(c[n][0] * low_factor, c[n][1] * low_factor);
      *reinterpret_cast<uint32_t *>(at(row + g + 8, n) + 4 * t) =
          pack_act(c[n][2] * high_factor, c[n][3] * high_factor);
    }
    __syncwarp();
#pragma unroll
    for (int i = lane; i < 16 * CHUNKS; i += 32) {
      const int own = row + i / CHUNKS, chunk = i % CHUNKS;
      if (first + own < end) store_global_16(p + int64_t(first + own) * ld + chunk * 8, load_16(at(own, chunk)));
    }
  }
};

/// The A operand that a product's results are for the next product, over 16 of its columns.
MF_DEVICE void repack(uint32_t (&a)[4], const float (&low)[4], const float (&high)[4]) {
  a[0] = pack_act(low[0], low[1]);
  a[1] = pack_act(low[2], low[3]);
  a[2] = pack_act(high[0], high[1]);
  a[3] = pack_act(high[2], high[3]);
}

/// Over the four lanes that share a row.
MF_DEVICE float row_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, 1));
  return fmaxf(v, __shfl_xor_sync(ALL_LANES, v, 2));
}

MF_DEVICE float row_sum(float v) {
  v += __shfl_xor_sync(ALL_LANES, v, 1);
  return v + __shfl_xor_sync(ALL_LANES, v, 2);
}

/// What dropout multiplies probabilities by.
struct dropout {
  uint32_t threshold, site, row;  // row: (b·H + h)·T
  float kept;
  const mf_run *run;

  MF_DEVICE dropout(float rate, uint32_t site, const mf_run *run)
      : threshold(dropout_threshold(rate)), site(site), row(0), kept(1.0f / (1.0f - rate)), run(run) {}

  MF_DEVICE float factor(int query, int key) const {
    const philox_words words = attention_words(uint32_t(key), row + query, site, *run);
    const uint32_t low = key & 1 ? words.word[1] : words.word[0], high = key & 1 ? words.word[3] : words.word[2];
    return (key & 2 ? high : low) >= threshold ? kept : 0.0f;
  }

  /// Of queries i and i + 8 with this lane's two of eight keys from `key` on. A lane and its neighbour need halves of
  /// the same four words, so that each draws those of one query.
  MF_DEVICE void factors(float (&f)[4], int i, int key) const {
    const int t = threadIdx.x % 4;
    const bool odd = t & 1;
    const philox_words words = attention_words(uint32_t(key + 2 * t), row + i + (odd ? 8 : 0), site, *run);
    // The even lane keeps words 0 and 1 of query i and gives away 2 and 3; the odd one the other way about.
    const uint32_t mine0 = odd ? words.word[2] : words.word[0], mine1 = odd ? words.word[3] : words.word[1];
    const uint32_t theirs0 = __shfl_xor_sync(ALL_LANES, odd ? words.word[0] : words.word[2], 1);
    const uint32_t theirs1 = __shfl_xor_sync(ALL_LANES, odd ? words.word[1] : words.word[3], 1);
    f[0] = (odd ? theirs0 : mine0) >= threshold ? kept : 0.0f;
    f[1] = (odd ? theirs1 : mine1) >= threshold ? kept : 0.0f;
    f[2] = (odd ? mine0 : theirs0) >= threshold ? kept : 0.0f;
    f[3] = (odd ? mine1 : theirs1) >= threshold ? kept : 0.0f;
  }
};

// MARK: Forward

/// Keys of a tile: as many as registers are left for their scores.
template <int D, bool DROPS>
constexpr int FORWARD_KEYS = D <= 64 && !DROPS ? 64 : 32;

/// Queries of a block, 32 a warp: two tiles of 16 rows, for which each fragment of keys and values is read once.
constexpr int FORWARD_QUERIES = 32 * WARPS;

template <int D, bool DROPS>
MF_DEVICE void attention(MF_ATTENTION_ARGUMENTS, act *o, int64_t ld_o, float *lse) {
  constexpr int KEYS = FORWARD_KEYS<D, DROPS>, TILE = KEYS * 2 * D;
  __shared__ int lows[WARPS], highs[WARPS];
  __shared__ key_range visible[FORWARD_QUERIES];  // not in registers: few tiles need them
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  // Later queries of a causal mask see more keys: they go first.
  const int first = (gridDim.x - 1 - blockIdx.x) * FORWARD_QUERIES, own = warp * 32;
  const int heads = gridDim.y, head = blockIdx.y, b = blockIdx.z, kv = head / (heads / kv_heads);
  const int64_t sequence = int64_t(b) * time;
  const act *keys = k + sequence * ld_kv + kv * D, *values = v + sequence * ld_kv + kv * D;
  const tile<D> queries{mf_shared};
  const auto key_tile = [&](int stage) { return tile<D>{mf_shared + FORWARD_QUERIES * 2 * D + stage * 2 * TILE}; };
  const auto value_tile = [&](int stage) {
    return tile<D>{mf_shared + FORWARD_QUERIES * 2 * D + stage * 2 * TILE + TILE};
  };
  const typename tile<D>::lanes lanes;
  queries.template fill<FORWARD_QUERIES>(q + sequence * ld_q + head * D, ld_q, first, time);

  // Keys that any query of the block, of the warp, and all queries of the warp see. Rows beyond T take part in nothing.
  const key_range single = visible_keys(mask, ranges, b, first + own + lane, time);
  const bool sees = single.start < single.end, exists = first + own + lane < time;
  const int warp_low = warp_min(sees ? single.start : time), warp_high = warp_max(single.end);
  const int all_low = warp_max(exists ? single.start : 0), all_high = warp_min(exists ? single.end : time);
  visible[threadIdx.x] = single;
  if (lane == 0) {
    lows[warp] = warp_low;
    highs[warp] = warp_high;
  }
  __syncthreads();
  int low = time, high = 0;
#pragma unroll
  for (int w = 0; w < WARPS; w++) {
    low = least(low, lows[w]);
    high = most(high, highs[w]);
  }
  low = low / KEYS * KEYS;
  float largest[4], sum[4], output[2][D / 8][4];
#pragma unroll
  for (int r = 0; r < 4; r++) {
    largest[r] = -MF_INFINITY;
    sum[r] = 0.0f;
  }
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) output[m][n][i] = 0.0f;
  dropout drops(rate, site, run);
  drops.row = uint32_t((b * heads + head) * time);
  const float to_bits = scale * LOG2_E;

  if (low < high) {
    key_tile(0).template fill<KEYS>(keys, ld_kv, low, time);
    value_tile(0).template fill<KEYS>(values, ld_kv, low, time);
  }
  cp_async_commit();
  int stage = 0;
  for (int origin = low; origin < high; origin += KEYS, stage ^= 1) {
    cp_async_wait<0>();
    // This tile is there for all, and nobody works on the other stage any more.
    __syncthreads();
    if (origin + KEYS < high) {
      key_tile(stage ^ 1).template fill<KEYS>(keys, ld_kv, origin + KEYS, time);
      value_tile(stage ^ 1).template fill<KEYS>(values, ld_kv, origin + KEYS, time);
    }
    cp_async_commit();
    if (origin >= warp_high || origin + KEYS <= warp_low) continue;

    float s[2][KEYS / 8][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[m][n][i] = 0.0f;
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
      uint32_t a[2][4];
      queries.left(a[0], lanes, own, step);
      queries.left(a[1], lanes, own + 16, step);
#pragma unroll
      for (int n = 0; n < KEYS / 16; n++) {
        uint32_t key[4];
        key_tile(stage).right_transposed(key, lanes, 16 * n, step);
#pragma unroll
        for (int m = 0; m < 2; m++) {
          mma(s[m][2 * n], a[m], key[0], key[1]);
          mma(s[m][2 * n + 1], a[m], key[2], key[3]);
        }
      }
    }
    if (origin < all_low || origin + KEYS > all_high) {
#pragma unroll
      for (int r = 0; r < 4; r++) {
        const key_range range = visible[own + g + 8 * r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
          for (int i = 0; i < 2; i++) {
            const int key = origin + 8 * n + 2 * t + i;
            if (key < range.start || key >= range.end) s[r / 2][n][r % 2 * 2 + i] = -MF_INFINITY;
          }
      }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const int m = r / 2, i = r % 2 * 2;
      float now = -MF_INFINITY;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) now = fmaxf(now, fmaxf(s[m][n][i], s[m][n][i + 1]));
      now = fmaxf(largest[r], row_max(now) * to_bits);
      // Only −∞ or NaN scores: nothing can be subtracted.
      const float shift = now == -MF_INFINITY ? 0.0f : now, decay = fast_exp2(largest[r] - shift);
      largest[r] = now;
      sum[r] *= decay;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) {
        s[m][n][i] = fast_exp2(fmaf(s[m][n][i], to_bits, -shift));
        s[m][n][i + 1] = fast_exp2(fmaf(s[m][n][i + 1], to_bits, -shift));
        sum[r] += s[m][n][i] + s[m][n][i + 1];
      }
#pragma unroll
      for (int n = 0; n < D / 8; n++) {
        output[m][n][i] *= decay;
        output[m][n][i + 1] *= decay;
      }
    }
    if (DROPS) {
#pragma unroll
      for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
          float factor[4];
          drops.factors(factor, first + own + 16 * m + g, origin + 8 * n);
#pragma unroll
          for (int i = 0; i < 4; i++) s[m][n][i] *= factor[i];
        }
    }
#pragma unroll
    for (int step = 0; step < KEYS / 16; step++) {
      uint32_t a[2][4];
      repack(a[0], s[0][2 * step], s[0][2 * step + 1]);
      repack(a[1], s[1][2 * step], s[1][2 * step + 1]);
#pragma unroll
      for (int n = 0; n < D / 16; n++) {
        uint32_t value[4];
        value_tile(stage).right(value, lanes, 16 * step, n);
#pragma unroll
        for (int m = 0; m < 2; m++) {
          mma(output[m][2 * n], a[m], value[0], value[1]);
          mma(output[m][2 * n + 1], a[m], value[2], value[3]);
        }
      }
    }
  }
  cp_async_wait<0>();
  float inverse[4];
#pragma unroll
  for (int r = 0; r < 4; r++) {
    sum[r] = row_sum(sum[r]);
    inverse[r] = sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];
    const int i = first + own + g + 8 * r;
    if (t == 0 && i < time)
      lse[int64_t(b * heads + head) * time + i] =
          sum[r] == 0.0f ? -MF_INFINITY : largest[r] * LN_2 + logf(sum[r]);
  }
  // The warp's queries are read by nobody else: their room takes the results. Where there was no tile, copies of other
  // threads may just have arrived there.
  __syncthreads();
  act *out = o + sequence * ld_o + head * D;
  queries.empty(output[0], inverse[0], inverse[1], own, out, ld_o, first, time);
  queries.empty(output[1], inverse[2], inverse[3], own + 16, out, ld_o, first, time);
}

// MARK: Gradient

/// Rows of a block's own, 16 a warp, whose fragments stay in registers; and rows of a tile of the others.
constexpr int GRADIENT_MINE = 16 * WARPS, GRADIENT_THEIRS = 32;

/// What a pass needs to know of one of the queries that it walks over.
struct query_facts {
  float lse, delta;
  int start, count;  // of the keys that it sees
};

/// What a pass needs of query i, of head `head`: as it lies in memory, so that nobody waits for it here.
MF_DEVICE query_facts load_facts(int mask, const int32_t *ranges, int b, int heads, int head, int i, int time,
                                 const float *lse, const float *delta) {
  const int64_t at = int64_t(b * heads + head) * time + i;
  const key_range seen = visible_keys(mask, ranges, b, i, time);
  return query_facts{i < time ? lse[at] : 0.0f, i < time ? delta[at] : 0.0f, seen.start, seen.end - seen.start};
}

/// As to_gradient takes it. Of a query that sees nothing lse is −∞, which can't be subtracted.
MF_DEVICE query_facts usable(const query_facts &facts) {
  const bool sees = facts.count > 0;
  return query_facts{sees ? facts.lse * LOG2_E : 0.0f, sees ? facts.delta : 0.0f, facts.start, facts.count};
}

/// From scores and do·v of a key and a query: m·P and dS (attention.cuh), in their places. Without branches: a warp's
/// exponentials run beside each other.
MF_DEVICE void to_gradient(float &p, float &ds, int key, const query_facts &query, float factor, float to_bits) {
  const bool visible = uint32_t(key - query.start) < uint32_t(query.count);
  const float probability = fast_exp2(fmaf(visible ? p : -MF_INFINITY, to_bits, -query.lse));
  ds = probability * (ds * factor - query.delta);
  p = probability * factor;
}

/// sums += left·rows, of 16 rows of a tile from `row` on.
template <int D>
MF_DEVICE void add_product(float (&sums)[D / 8][4], const uint32_t (&left)[4], const tile<D> &rows,
                           const typename tile<D>::lanes &lanes, int row) {
#pragma unroll
  for (int n = 0; n < D / 16; n++) {
    uint32_t right[4];
    rows.right(right, lanes, row, n);
    mma(sums[2 * n], left, right[0], right[1]);
    mma(sums[2 * n + 1], left, right[2], right[3]);
  }
}

/// One pass of the gradient: dk and dv of a block's keys (KEYS_PASS), or dq of its queries. In both, mine·theirsᵀ gives
/// the scores and mine2·theirs2ᵀ their gradients before dropout: keys·queriesᵀ and values·doᵀ, or queries·keysᵀ and
/// do·valuesᵀ.
template <int D, bool KEYS_PASS, bool DROPS>
MF_DEVICE void attention_gradient(
    MF_ATTENTION_ARGUMENTS, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta, act *dq,
    act *dk, act *dv, int64_t ld_dq, int64_t ld_dkv) {
  constexpr int MINE = GRADIENT_MINE, THEIRS = GRADIENT_THEIRS, TILE = THEIRS * 2 * D;
  __shared__ query_facts facts[2][THEIRS];
  __shared__ int lows[WARPS], highs[WARPS];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, own = warp * 16;
  // The long blocks of a causal mask go first: early keys, late queries.
  const int first = (KEYS_PASS ? blockIdx.x : gridDim.x - 1 - blockIdx.x) * MINE, b = blockIdx.z;
  const int group = heads / kv_heads, kv = KEYS_PASS ? blockIdx.y : blockIdx.y / group;
  const int first_head = KEYS_PASS ? kv * group : blockIdx.y, head_count = KEYS_PASS ? group : 1;
  const int64_t sequence = int64_t(b) * time;
  const act *keys = k + sequence * ld_kv + kv * D, *values = v + sequence * ld_kv + kv * D;
  const act *queries = q + sequence * ld_q + first_head * D, *outer = dout + sequence * ld_do + first_head * D;

  // My rows' fragments, by way of the stages' room. Where registers are short mine2 stays, to be read again and again.
  constexpr bool HOLDS_BOTH = !KEYS_PASS || D <= 64;
  uint32_t a[D / 16][4], a2[HOLDS_BOTH ? D / 16 : 1][4];
  const typename tile<D>::lanes lanes;
  const tile<D> mine2{mf_shared + (HOLDS_BOTH ? MINE * 2 * D : 4 * TILE)};
  {
    const tile<D> mine{mf_shared};
    mine.template fill<MINE>(KEYS_PASS ? keys : queries, KEYS_PASS ? ld_kv : ld_q, first, time);
    mine2.template fill<MINE>(KEYS_PASS ? values : outer, KEYS_PASS ? ld_kv : ld_do, first, time);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int step = 0; step < D / 16; step++) {
      mine.left(a[step], lanes, own, step);
      if (HOLDS_BOTH) mine2.left(a2[step], lanes, own, step);
    }
  }

  // Which of the others meet any of mine: low..<high.
  int low = time, high = 0;
  if (KEYS_PASS && mask == RANGES) {
    for (int i = threadIdx.x; i < time; i += THREADS) {
      const key_range seen = visible_keys(mask, ranges, b, i, time);
      if (seen.start >= first + MINE || seen.end <= first) continue;
      low = least(low, i);
      high = most(high, i + 1);
    }
  } else if (KEYS_PASS) {
    low = mask == CAUSAL ? first : 0;
    high = time;
  } else if (threadIdx.x < MINE) {
    const key_range seen = visible_keys(mask, ranges, b, first + threadIdx.x, time);
    if (seen.start < seen.end) {
      low = seen.start;
      high = seen.end;
    }
  }
  low = warp_min(low);
  high = warp_max(high);
  if (lane == 0) {
    lows[warp] = low;
    highs[warp] = high;
  }
  // Also: nobody reads my rows' room any more.
  __syncthreads();
#pragma unroll
  for (int w = 0; w < WARPS; w++) {
    low = least(low, lows[w]);
    high = most(high, highs[w]);
  }
  low = low / THEIRS * THEIRS;
  const int tiles = low < high ? (high - low + THEIRS - 1) / THEIRS : 0;

  const auto fact = [&](int head, int i) {
    return usable(load_facts(mask, ranges, b, heads, head, i, time, lse, delta));
  };
  query_facts my_facts[2];
  if (!KEYS_PASS) {
    my_facts[0] = fact(first_head, first + own + g);
    my_facts[1] = fact(first_head, first + own + g + 8);
  }
  const auto their_tile = [&](int stage, int second) { return tile<D>{mf_shared + (2 * stage + second) * TILE}; };
  const auto fetch = [&](int step, int stage) {
    const int head = step / tiles, origin = low + step % tiles * THEIRS;
    if (KEYS_PASS) {
      their_tile(stage, 0).template fill<THEIRS>(queries + head * D, ld_q, origin, time);
      their_tile(stage, 1).template fill<THEIRS>(outer + head * D, ld_do, origin, time);
      if (threadIdx.x < THEIRS) facts[stage][threadIdx.x] = fact(first_head + head, origin + threadIdx.x);
    } else {
      their_tile(stage, 0).template fill<THEIRS>(keys, ld_kv, origin, time);
      their_tile(stage, 1).template fill<THEIRS>(values, ld_kv, origin, time);
    }
  };

  float sums[D / 8][4], sums2[KEYS_PASS ? D / 8 : 1][4];
#pragma unroll
  for (int n = 0; n < D / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      sums[n][i] = 0.0f;
      if (KEYS_PASS) sums2[n][i] = 0.0f;
    }
  dropout drops(rate, site, run);
  const float to_bits = scale * LOG2_E;
  const int steps = tiles * head_count;
  if (steps > 0) fetch(0, 0);
  cp_async_commit();
  for (int step = 0; step < steps; step++) {
    const int stage = step % 2, origin = low + step % tiles * THEIRS;
    cp_async_wait<0>();
    // This tile is there for all, and nobody works on the other stage any more.
    __syncthreads();
    if (step + 1 < steps) fetch(step + 1, stage ^ 1);
    cp_async_commit();
    drops.row = uint32_t((b * heads + first_head + step / tiles) * time);
    const tile<D> theirs = their_tile(stage, 0), theirs2 = their_tile(stage, 1);
    // Not unrolled: that would take more registers than there are.
#pragma unroll 1
    for (int part = 0; part < THEIRS / 16; part++) {
      float p[2][4], ds[2][4];
#pragma unroll
      for (int n = 0; n < 2; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) p[n][i] = ds[n][i] = 0.0f;
#pragma unroll
      for (int depth = 0; depth < D / 16; depth++) {
        uint32_t other[4];
        theirs.right_transposed(other, lanes, 16 * part, depth);
        mma(p[0], a[depth], other[0], other[1]);
        mma(p[1], a[depth], other[2], other[3]);
        theirs2.right_transposed(other, lanes, 16 * part, depth);
        if (!HOLDS_BOTH) mine2.left(a2[0], lanes, own, depth);
        mma(ds[0], a2[HOLDS_BOTH ? depth : 0], other[0], other[1]);
        mma(ds[1], a2[HOLDS_BOTH ? depth : 0], other[2], other[3]);
      }
#pragma unroll
      for (int n = 0; n < 2; n++) {
        float factor[4];
        if (DROPS && !KEYS_PASS) drops.factors(factor, first + own + g, origin + 16 * part + 8 * n);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int column = 16 * part + 8 * n + 2 * t + i % 2, row = first + own + g + i / 2 * 8;
          const int key = KEYS_PASS ? row : origin + column, query = KEYS_PASS ? origin + column : row;
          const query_facts &of = KEYS_PASS ? facts[stage][column] : my_facts[i / 2];
          if (DROPS && KEYS_PASS) factor[i] = drops.factor(query, key);
          to_gradient(p[n][i], ds[n][i], key, of, DROPS ? factor[i] : 1.0f, to_bits);
        }
      }
      uint32_t left[4];
      repack(left, ds[0], ds[1]);
      add_product(sums, left, theirs, lanes, 16 * part);
      if constexpr (KEYS_PASS) {
        repack(left, p[0], p[1]);
        add_product(sums2, left, theirs2, lanes, 16 * part);
      }
    }
  }
  cp_async_wait<0>();
  __syncthreads();
  const tile<D> results{mf_shared};
  if (KEYS_PASS) {
    results.empty(sums, scale, scale, own, dk + sequence * ld_dkv + kv * D, ld_dkv, first, time);
    if constexpr (KEYS_PASS)
      results.empty(sums2, 1.0f, 1.0f, own, dv + sequence * ld_dkv + kv * D, ld_dkv, first, time);
  } else {
    results.empty(sums, scale, scale, own, dq + sequence * ld_dq + first_head * D, ld_dq, first, time);
  }
}

// MARK: Gradient in one pass

#if __CUDA_ARCH__ >= 800

/// Keys of a block, 16 a warp, and queries of a tile.
constexpr int WHOLE_WARPS = 8, WHOLE_THREADS = 32 * WHOLE_WARPS, WHOLE_KEYS = 16 * WHOLE_WARPS, WHOLE_QUERIES = 64;

/// Queries whose scores a warp computes at once: products of several don't wait for each other.
constexpr int AT_ONCE = __CUDA_ARCH__ >= 1200 ? 16 : 32;

/// The whole gradient of a key/value head. A block goes through the keys, 128 at a time, and for each through the queries
/// that see them. What keys add to dq is summed in `sums`, in their order: a thread reads there what it has left itself.
/// dS goes from the warps that have its keys to those that have its queries by way of shared memory, and is multiplied
/// while the next tile is computed, so that warps wait for each other once a tile.
template <int D>
MF_DEVICE void attention_whole_gradient(
    MF_ATTENTION_ARGUMENTS, int batch, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta,
    float *sums, act *dq, act *dk, act *dv, int64_t ld_dqkv) {
  constexpr int TILE = WHOLE_QUERIES * 2 * D, SCORES = WHOLE_KEYS * 2 * WHOLE_QUERIES;
  __shared__ query_facts facts[2][WHOLE_QUERIES];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, own = warp * 16;
  const int group = heads / kv_heads, tiles = (time + WHOLE_QUERIES - 1) / WHOLE_QUERIES;
  unsigned char *const room = mf_shared + WHOLE_KEYS * 2 * D;
  const tile<D> key_tile{mf_shared}, value_tile{room};
  const typename tile<D>::lanes lanes;
  const typename tile<WHOLE_QUERIES>::lanes score_lanes;
  const auto query_tile = [&](int stage, int second) { return tile<D>{room + (2 * stage + second) * TILE}; };
  const auto score_tile = [&](int stage) { return tile<WHOLE_QUERIES>{room + 4 * TILE + stage * SCORES}; };
  // Of each tile of queries, the keys that any of them sees.
  key_range *const spans = reinterpret_cast<key_range *>(room + 4 * TILE + 2 * SCORES);
  // Where this lane's scores of the first two queries lie.
  const int score_place = tile<WHOLE_QUERIES>::place(own + g, 0) + 4 * t;
  // Of a tile's dq a warp has 16 queries and half of the columns.
  const int rows = warp % 4 * 16, columns = warp / 4 * (D / 2);
  const float to_bits = scale * LOG2_E;

  for (int item = blockIdx.x; item < batch * kv_heads; item += gridDim.x) {
    const int b = item / kv_heads, kv = item % kv_heads, first_head = kv * group;
    const int64_t sequence = int64_t(b) * time;
    const act *keys = k + sequence * ld_kv + kv * D, *values = v + sequence * ld_kv + kv * D;
    const act *queries = q + sequence * ld_q + first_head * D, *outer = dout + sequence * ld_do + first_head * D;
    for (int i = warp; i < tiles; i += WHOLE_WARPS) {
      int low = time, high = 0;
#pragma unroll
      for (int part = 0; part < WHOLE_QUERIES; part += 32) {
        const key_range seen = visible_keys(mask, ranges, b, i * WHOLE_QUERIES + part + lane, time);
        low = least(low, seen.start < seen.end ? seen.start : time);
        high = most(high, seen.end);
      }
      low = warp_min(low);
      high = warp_max(high);
      // Queries without keys have a gradient, too, of zeros: the first keys give it.
      if (lane == 0) spans[i] = high > 0 ? key_range{low, high} : key_range{0, 1};
    }

    for (int first = 0; first < time; first += WHOLE_KEYS) {
      uint32_t a[D / 16][4], a2[D / 16][4];
      key_tile.template fill<WHOLE_KEYS, WHOLE_THREADS>(keys, ld_kv, first, time);
      value_tile.template fill<WHOLE_KEYS, WHOLE_THREADS>(values, ld_kv, first, time);
      cp_async_commit();
      cp_async_wait<0>();
      // Also: all spans are there.
      __syncthreads();
#pragma unroll
      for (int step = 0; step < D / 16; step++) {
        key_tile.left(a[step], lanes, own, step);
        value_tile.left(a2[step], lanes, own, step);
      }
      // Nobody reads the values' room any more.
      __syncthreads();

      // A tile of queries of a head of the group; none: head == group.
      struct place {
        int head, at;
      };
      const auto next = [&](place p) {
        for (; p.head < group; p = place{p.head + 1, 0})
          for (; p.at < tiles; p.at++)
            if (spans[p.at].start < first + WHOLE_KEYS && spans[p.at].end > first) return p;
        return p;
      };
      const auto fetch = [&](place p, int stage) {
        const int origin = p.at * WHOLE_QUERIES;
        query_tile(stage, 0).template fill<WHOLE_QUERIES, WHOLE_THREADS>(queries + p.head * D, ld_q, origin, time);
        query_tile(stage, 1).template fill<WHOLE_QUERIES, WHOLE_THREADS>(outer + p.head * D, ld_do, origin, time);
      };
      const auto fact = [&](place p) {
        return load_facts(
            mask, ranges, b, heads, first_head + p.head, p.at * WHOLE_QUERIES + threadIdx.x % WHOLE_QUERIES, time, lse,
            delta);
      };
      float key_sums[D / 8][4], value_sums[D / 8][4];
#pragma unroll
      for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) key_sums[n][i] = value_sums[n][i] = 0.0f;
      place now = next(place{0, 0}), before{group, 0};
      if (now.head < group) {
        fetch(now, 0);
        if (threadIdx.x < WHOLE_QUERIES) facts[0][threadIdx.x] = usable(fact(now));
      }
      cp_async_commit();
      for (int stage = 0; now.head < group || before.head < group; stage ^= 1) {
        cp_async_wait<0>();
        // This tile and the scores of the one before are there for all, and nobody works on the other stage any more.
        __syncthreads();
        const place after = now.head < group ? next(place{now.head, now.at + 1}) : now;
        query_facts following;
        if (after.head < group) {
          fetch(after, stage ^ 1);
          if (threadIdx.x < WHOLE_QUERIES) following = fact(after);
        }
        cp_async_commit();

        float query_sums[D / 16][4];
        const key_range span = spans[before.head < group ? before.at : 0];
        float4 *const kept = reinterpret_cast<float4 *>(sums) + threadIdx.x +
                             ((int64_t(blockIdx.x) * group + before.head) * tiles + before.at) * (D / 16) * WHOLE_THREADS;
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
          float4 sum{0.0f, 0.0f, 0.0f, 0.0f};
          // Keys before these have left something.
          if (before.head < group && span.start < first) sum = kept[n * WHOLE_THREADS];
          query_sums[n][0] = sum.x;
          query_sums[n][1] = sum.y;
          query_sums[n][2] = sum.z;
          query_sums[n][3] = sum.w;
        }

        if (now.head < group) {
          const tile<D> theirs = query_tile(stage, 0), theirs2 = query_tile(stage, 1);
          // Not unrolled: that would take more registers than there are.
#pragma unroll 1
          for (int query = 0; query < WHOLE_QUERIES; query += AT_ONCE) {
            float p[AT_ONCE / 8][4], ds[AT_ONCE / 8][4];
#pragma unroll
            for (int n = 0; n < AT_ONCE / 8; n++)
#pragma unroll
              for (int i = 0; i < 4; i++) p[n][i] = ds[n][i] = 0.0f;
#pragma unroll
            for (int depth = 0; depth < D / 16; depth++) {
#pragma unroll
              for (int m = 0; m < AT_ONCE / 16; m++) {
                uint32_t other[4];
                theirs.right_transposed(other, lanes, query + 16 * m, depth);
                mma(p[2 * m], a[depth], other[0], other[1]);
                mma(p[2 * m + 1], a[depth], other[2], other[3]);
                theirs2.right_transposed(other, lanes, query + 16 * m, depth);
                mma(ds[2 * m], a2[depth], other[0], other[1]);
                mma(ds[2 * m + 1], a2[depth], other[2], other[3]);
              }
            }
#pragma unroll
            for (int n = 0; n < AT_ONCE / 8; n++)
#pragma unroll
              for (int i = 0; i < 4; i++) {
                const int key = first + own + g + i / 2 * 8;
                to_gradient(p[n][i], ds[n][i], key, facts[stage][query + 8 * n + 2 * t + i % 2], 1.0f, to_bits);
              }
#pragma unroll
            for (int m = 0; m < AT_ONCE / 16; m++) {
              uint32_t left[4];
              repack(left, p[2 * m], p[2 * m + 1]);
              add_product(value_sums, left, theirs2, lanes, query + 16 * m);
            }
#pragma unroll
            for (int m = 0; m < AT_ONCE / 16; m++) {
              uint32_t left[4];
              repack(left, ds[2 * m], ds[2 * m + 1]);
              add_product(key_sums, left, theirs, lanes, query + 16 * m);
#pragma unroll
              for (int i = 0; i < 4; i++)
                *reinterpret_cast<uint32_t *>(
                    score_tile(stage).bytes + (score_place ^ (query / 8 + 2 * m + i / 2) * 16) +
                    i % 2 * 16 * WHOLE_QUERIES) = left[i];
            }
          }
        }

        if (before.head < group) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            const int half_first = first + half * (WHOLE_KEYS / 2);
            if (half_first >= span.end || half_first + WHOLE_KEYS / 2 <= span.start) continue;
#pragma unroll
            for (int step = half * (WHOLE_KEYS / 32); step < (half + 1) * (WHOLE_KEYS / 32); step++) {
              uint32_t left[4], other[4];
              score_tile(stage ^ 1).left_transposed(left, score_lanes, 16 * step, rows / 16);
#pragma unroll
              for (int n = 0; n < D / 32; n++) {
                key_tile.right(other, lanes, 16 * step, columns / 16 + n);
                mma(query_sums[2 * n], left, other[0], other[1]);
                mma(query_sums[2 * n + 1], left, other[2], other[3]);
              }
            }
          }
          const int i = before.at * WHOLE_QUERIES + rows + g;
          act *const out = dq + (sequence + i) * ld_dqkv + (first_head + before.head) * D + columns + 2 * t;
#pragma unroll
          for (int n = 0; n < D / 16; n++) {
            const float *sum = query_sums[n];
            if (span.end > first + WHOLE_KEYS) {
              kept[n * WHOLE_THREADS] = float4{sum[0], sum[1], sum[2], sum[3]};
              continue;
            }
            if (i < time) *reinterpret_cast<uint32_t *>(out + 8 * n) = pack_act(sum[0] * scale, sum[1] * scale);
            if (i + 8 < time)
              *reinterpret_cast<uint32_t *>(out + 8 * ld_dqkv + 8 * n) = pack_act(sum[2] * scale, sum[3] * scale);
          }
        }
        // It has had the time of a tile to arrive.
        if (after.head < group && threadIdx.x < WHOLE_QUERIES) facts[stage ^ 1][threadIdx.x] = usable(following);
        before = now;
        now = after;
      }
      // Nobody reads these keys any more: their room takes the results.
      __syncthreads();
      key_tile.empty(key_sums, scale, scale, own, dk + sequence * ld_dqkv + kv * D, ld_dqkv, first, time);
      key_tile.empty(value_sums, 1.0f, 1.0f, own, dv + sequence * ld_dqkv + kv * D, ld_dqkv, first, time);
      __syncthreads();
    }
  }
}

#endif

/// Blocks of mf_attention_keys_… that should fit into a multiprocessor at D ≤ 64.
constexpr int KEYS_BLOCKS = __CUDA_ARCH__ >= 800 ? 3 : 2;

/// mf_attention_…: o and lse.
///
/// Grid: (⌈T/128⌉, H, B) blocks of 128 threads. Shared memory: 256·D + 8·D·keys bytes, keys: FORWARD_KEYS.
///
/// mf_attention_keys_… and mf_attention_queries_…: dk and dv, and dq, from o's and lse's delta (mf_attention_delta).
///
/// Grid: (⌈T/64⌉, K, B) for keys and (⌈T/64⌉, H, B) for queries, blocks of 128 threads. Shared memory: 256·D bytes, of
/// keys with D > 64 384·D.
///
/// mf_attention_whole_…, D ≤ 64, from sm_80 on, rate 0: dq, dk and dv at once, for as many sequences and key/value heads as there are
/// multiprocessors; others find more to do in two passes. `sums`: 4·(H/K)·⌈T/64⌉·64·D bytes for each block, which should
/// stay in the cache.
///
/// Grid: up to B·K blocks of 256 threads, which take turns. Shared memory: 768·D + 32768 + 8·⌈T/64⌉ bytes.
///
/// The host asks for all of these sizes (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES): static shared memory comes on
/// top, and 48 KiB in all is what a block has unasked.
///
/// Names that end with _dropout are for rate > 0. sm_75 has neither registers nor shared memory enough for D = 128.
#define MF_ATTENTION_AS(D, SUFFIX, DROPS)                                                                          \
  extern "C" __global__ void __launch_bounds__(THREADS, 2) mf_attention_##SUFFIX(                                  \
      MF_ATTENTION_ARGUMENTS, act *o, int64_t ld_o, float *lse) {                                                  \
    attention<D, DROPS>(MF_ATTENTION_PASSED, o, ld_o, lse);                                                        \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(THREADS, D <= 64 && !DROPS ? KEYS_BLOCKS : 2)                       \
      mf_attention_keys_##SUFFIX(                                                                                  \
      MF_ATTENTION_ARGUMENTS, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta,     \
      act *dk, act *dv, int64_t ld_dkv) {                                                                          \
    attention_gradient<D, true, DROPS>(                                                                            \
        MF_ATTENTION_PASSED, heads, dout, ld_do, lse, delta, nullptr, dk, dv, 0, ld_dkv);                          \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(THREADS, D <= 64 ? 3 : 2) mf_attention_queries_##SUFFIX(            \
      MF_ATTENTION_ARGUMENTS, int heads, const act *dout, int64_t ld_do, const float *lse, const float *delta,     \
      act *dq, int64_t ld_dq) {                                                                                    \
    attention_gradient<D, false, DROPS>(                                                                           \
        MF_ATTENTION_PASSED, heads, dout, ld_do, lse, delta, dq, nullptr, nullptr, ld_dq, 0);                      \
  }

#define MF_WHOLE_ATTENTION(D)                                                                                      \
  extern "C" __global__ void __launch_bounds__(WHOLE_THREADS, 1) mf_attention_whole_##D(                           \
      MF_ATTENTION_ARGUMENTS, int batch, int heads, const act *dout, int64_t ld_do, const float *lse,              \
      const float *delta, float *sums, act *dq, act *dk, act *dv, int64_t ld_dqkv) {                               \
    attention_whole_gradient<D>(                                                                                   \
        MF_ATTENTION_PASSED, batch, heads, dout, ld_do, lse, delta, sums, dq, dk, dv, ld_dqkv);                    \
  }

#define MF_ATTENTION(D)         \
  MF_ATTENTION_AS(D, D, false)  \
  MF_ATTENTION_AS(D, D##_dropout, true)
#define MF_ATTENTION_OF(D) MF_ATTENTION(D)

#define MF_WHOLE_ATTENTION_OF(D) MF_WHOLE_ATTENTION(D)

#ifdef MF_SIZE
MF_ATTENTION_OF(MF_SIZE)
#if MF_SIZE <= 64 && __CUDA_ARCH__ >= 800
MF_WHOLE_ATTENTION_OF(MF_SIZE)
#endif
#else
MF_ATTENTION(32)
MF_ATTENTION(64)
MF_ATTENTION(96)
#if __CUDA_ARCH__ >= 800
MF_ATTENTION(128)
MF_WHOLE_ATTENTION(32)
MF_WHOLE_ATTENTION(64)
#endif
#endif

#endif
