// Embedding lookup: y_r = scale·table[id_r]; gradient: dtable[id] += scale·Σ over rows with that id of dy_r.
//
// Shapes: ids (rows), table (vocabulary, width), y and dy (rows, width).
//
// The gradient sorts the rows by id (stable, so that equal ids stay in the order of rows) and adds equal ones: all sums
// are taken in an order that the ids alone decide. The host runs
//   for each 8 bits of ids, from the lowest: mf_sort_count, mf_sort_offsets, mf_sort_move
//   mf_embedding_gradient, mf_embedding_gradient_rest
// Integers only are exchanged between threads of a sort. Bound of the lookup and of the gradient: bytes.
#include "common.cuh"

/// Grid: (⌈rows/8⌉, ⌈width/256⌉) blocks of 256 threads: a row a warp.
extern "C" __global__ void __launch_bounds__(256) mf_embedding(
    int64_t rows, int64_t width, float scale, const int32_t *ids, const act *table, act *y) {
  const int64_t row = int64_t(blockIdx.x) * 8 + threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.y) * 256 + threadIdx.x % 32 * 8, n = width - column;
  if (row >= rows || n <= 0) return;
  float v[8];
  load(table + ids[row] * width + column, n, v);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] *= scale;
  store(y + row * width + column, n, v);
}

// MARK: A stable sort by eight bits

/// Rows that a block of 256 threads ranks: each warp 256 of them, one after another.
constexpr int SORT_TILE = 2048;

/// Ranks the keys of a tile among those before them with the same digit. counts[warp][digit] must be 0 and is, after a
/// barrier, how many the warp has; visit(row, digit, rank in the warp) gets each key.
template <typename Visit>
MF_DEVICE void rank_keys(int64_t rows, const int32_t *keys, int shift, int (*counts)[256], Visit visit) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int step = 0; step < 8; step++) {
    const int64_t row = int64_t(blockIdx.x) * SORT_TILE + warp * 256 + step * 32 + lane;
    const bool exists = row < rows;
    const int digit = exists ? keys[row] >> shift & 255 : 0;
    // The lanes whose keys have this lane's digit.
    uint32_t equal = __ballot_sync(ALL_LANES, exists);
#pragma unroll
    for (int bit = 0; bit < 8; bit++) {
      const uint32_t set = __ballot_sync(ALL_LANES, digit >> bit & 1);
      equal &= digit >> bit & 1 ? set : ~set;
    }
    const int before = exists ? counts[warp][digit] : 0, rank = __popc(equal & ((1u << lane) - 1));
    __syncwarp();
    // The last of them counts for all.
    if (exists && equal >> lane == 1) counts[warp][digit] = before + rank + 1;
    __syncwarp();
    if (exists) visit(row, digit, before + rank);
  }
}

/// offsets[digit·blocks + block] = how many keys of the block's tile have the digit.
///
/// Grid: ⌈rows/2048⌉ blocks of 256 threads.
extern "C" __global__ void __launch_bounds__(256) mf_sort_count(
    int64_t rows, const int32_t *keys, int shift, int32_t *offsets) {
  __shared__ int counts[8][256];
  for (int warp = 0; warp < 8; warp++) counts[warp][threadIdx.x] = 0;
  __syncthreads();
  rank_keys(rows, keys, shift, counts, [](int64_t, int, int) {});
  __syncthreads();
  int total = 0;
  for (int warp = 0; warp < 8; warp++) total += counts[warp][threadIdx.x];
  offsets[int64_t(threadIdx.x) * gridDim.x + blockIdx.x] = total;
}

/// Counts → where the first key of each digit and tile goes: sums of all counts before.
///
/// Grid: 1 block of 256 threads, a digit a thread; `blocks`: those of mf_sort_count.
extern "C" __global__ void __launch_bounds__(256) mf_sort_offsets(int blocks, int32_t *offsets) {
  __shared__ int totals[256];
  int32_t *own = offsets + int64_t(threadIdx.x) * blocks;
  int total = 0;
  for (int b = 0; b < blocks; b++) total += own[b];
  totals[threadIdx.x] = total;
  __syncthreads();
  int at = 0;
  for (int digit = 0; digit < threadIdx.x; digit++) at += totals[digit];
  for (int b = 0; b < blocks; b++) {
    const int count = own[b];
    own[b] = at;
    at += count;
  }
}

/// Moves keys and rows to their places; `from_rows` NULL: rows 0, 1, 2…
///
/// Grid: as mf_sort_count.
extern "C" __global__ void __launch_bounds__(256) mf_sort_move(
    int64_t rows, const int32_t *keys, const int32_t *from_rows, int shift, const int32_t *offsets, int32_t *to_keys,
    int32_t *to_rows) {
  __shared__ int counts[8][256], starts[8][256];
  for (int warp = 0; warp < 8; warp++) counts[warp][threadIdx.x] = 0;
  __syncthreads();
  rank_keys(rows, keys, shift, counts, [](int64_t, int, int) {});
  __syncthreads();
  int at = offsets[int64_t(threadIdx.x) * gridDim.x + blockIdx.x];
  for (int warp = 0; warp < 8; warp++) {
    starts[warp][threadIdx.x] = at;
    at += counts[warp][threadIdx.x];
    counts[warp][threadIdx.x] = 0;
  }
  __syncthreads();
  const int warp = threadIdx.x / 32;
  rank_keys(rows, keys, shift, counts, [&](int64_t row, int digit, int rank) {
    const int place = starts[warp][digit] + rank;
    to_keys[place] = keys[row];
    to_rows[place] = from_rows != nullptr ? from_rows[row] : int32_t(row);
  });
}

// MARK: Sums of rows with equal ids

/// Sorted rows of which a block adds up those with equal ids.
constexpr int SUM_TILE = 32;

/// Adds the sums of the ids that begin in a tile to dtable; what the tile has of the id before goes to heads[tile].
///
/// ids and order: sorted. heads (⌈rows/32⌉, width).
/// Grid: (⌈rows/32⌉, ⌈width/256⌉) blocks of 32 threads, eight columns a lane.
extern "C" __global__ void __launch_bounds__(32) mf_embedding_gradient(
    int64_t rows, int64_t width, float scale, const int32_t *ids, const int32_t *order, const act *dy, float *dtable,
    float *heads) {
  const int64_t column = int64_t(blockIdx.y) * 256 + threadIdx.x * 8, n = width - column;
  const int64_t first = int64_t(blockIdx.x) * SUM_TILE, end = least(rows, first + SUM_TILE);
  if (n <= 0) return;
  bool is_head = first > 0 && ids[first - 1] == ids[first];
  float total[8] = {};
  for (int64_t i = first; i < end; i++) {
    float v[8];
    load(dy + order[i] * width + column, n, v);
#pragma unroll
    for (int j = 0; j < 8; j++) total[j] = fmaf(v[j], scale, total[j]);
    const int32_t id = ids[i];
    if (i + 1 < end && ids[i + 1] == id) continue;
    float *sum = is_head ? heads + blockIdx.x * width + column : dtable + id * width + column;
    if (!is_head) {
      load_floats(sum, n, v);
#pragma unroll
      for (int j = 0; j < 8; j++) total[j] += v[j];
    }
    store_floats(sum, n, total);
#pragma unroll
    for (int j = 0; j < 8; j++) total[j] = 0.0f;
    is_head = false;
  }
}

/// Adds the heads of the tiles behind the one in which an id begins.
///
/// Grid: as mf_embedding_gradient; works where a tile is the second one of an id.
extern "C" __global__ void __launch_bounds__(32) mf_embedding_gradient_rest(
    int64_t rows, int64_t width, const int32_t *ids, float *dtable, const float *heads) {
  const int64_t column = int64_t(blockIdx.y) * 256 + threadIdx.x * 8, n = width - column;
  const int64_t first = int64_t(blockIdx.x) * SUM_TILE, before = first - SUM_TILE;
  if (n <= 0 || before < 0 || ids[first - 1] != ids[first]) return;
  const int32_t id = ids[first];
  if (before > 0 && ids[before] == id && ids[before - 1] == id) return;
  float total[8], v[8];
  load_floats(dtable + id * width + column, n, total);
  for (int64_t tile = first; tile < rows && ids[tile] == id && ids[tile - 1] == id; tile += SUM_TILE) {
    load_floats(heads + tile / SUM_TILE * width + column, n, v);
#pragma unroll
    for (int j = 0; j < 8; j++) total[j] += v[j];
  }
  store_floats(dtable + id * width + column, n, total);
}
