// Sums in two stages: blocks leave partial sums, whose number depends on the shapes alone, and a second kernel adds
// them in order.
#include "common.cuh"

// MARK: Σ x², of all gradients

/// partials[block] = Σ of the block's x².
///
/// Grid: least(1024, ⌈count/8192⌉) blocks of 256 threads, which take turns at 2048 elements. Bound: bytes (4 per
/// element). fp32 over four elements, fp64 above.
extern "C" __global__ void __launch_bounds__(256) mf_sum_of_squares(int64_t count, const float *x, double *partials) {
  __shared__ double sums[256];
  double total = 0;
  for (int64_t i = flat_start(); i < count; i += int64_t(gridDim.x) * 2048) {
    float v[8];
    load_floats(x + i, count - i, v);
    total += double(fmaf(v[0], v[0], v[1] * v[1]) + fmaf(v[2], v[2], v[3] * v[3]));
    total += double(fmaf(v[4], v[4], v[5] * v[5]) + fmaf(v[6], v[6], v[7] * v[7]));
  }
  total = block_sum<256>(total, sums);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

// MARK: Losses of a micro-step

/// state.loss (+)= Σ weight·loss / normalizer, state.accuracy the same of `correct`. Rows of weight 0 are not looked
/// at.
///
/// Grid: 1 block of 1024 threads. Bound: latency (12 bytes per row).
extern "C" __global__ void __launch_bounds__(1024) mf_loss_total(
    int64_t rows, const float *losses, const float *correct, const float *weights, const float *normalizer,
    mf_gradient_state_t *state, int accumulate) {
  __shared__ double loss_sums[1024], correct_sums[1024];
  double loss = 0, right = 0;
#pragma unroll 4
  for (int64_t row = threadIdx.x; row < rows; row += 1024) {
    const float weight = weights[row];
    // Not multiplied where nothing counts: NaN stays out.
    loss += weight != 0.0f ? double(weight) * losses[row] : 0.0;
    right += weight != 0.0f ? double(weight) * correct[row] : 0.0;
  }
  loss = block_sum<1024>(loss, loss_sums);
  right = block_sum<1024>(right, correct_sums);
  if (threadIdx.x != 0) return;
  const double total = *normalizer;
  state->loss = (accumulate ? state->loss : 0) + loss / total;
  state->accuracy = (accumulate ? state->accuracy : 0) + right / total;
}

// MARK: Sums over rows

/// partials[r] = Σ of 256 rows of x from 256r on: the first stage of a bias' gradient.
///
/// x (rows, width), rows `ld` apart; partials (⌈rows/256⌉, width).
/// Grid: (⌈width/256⌉, ⌈rows/256⌉) blocks of 256 threads: a warp a row, eight columns a lane. Bound: bytes (each
/// element read once).
extern "C" __global__ void __launch_bounds__(256) mf_column_sums(
    int64_t rows, int64_t width, const act *x, int64_t ld, float *partials) {
  __shared__ float sums[8][256];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.x) * 256 + lane * 8, first = int64_t(blockIdx.y) * 256;
  const int64_t end = least(rows, first + 256);
  float total[8] = {};
  for (int64_t row = first + warp; row < end; row += 32) {
    octet ahead[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
      ahead[k] = load_octet(x + (row + 8 * k) * ld + column, row + 8 * k < end ? width - column : 0);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      float v[8];
      unpack(ahead[k], v);
#pragma unroll
      for (int i = 0; i < 8; i++) total[i] += v[i];
    }
  }
#pragma unroll
  for (int i = 0; i < 8; i++) sums[warp][i * 32 + lane] = total[i];
  __syncthreads();
  // Thread j adds the column that lies at place j of each warp's sums.
  const int64_t own = int64_t(blockIdx.x) * 256 + lane * 8 + warp;
  if (own >= width) return;
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < 8; w++) sum += sums[w][threadIdx.x];
  partials[int64_t(blockIdx.y) * width + own] = sum;
}

/// y[j] (+)= Σ_b partials[b·stride + j], always in one order.
///
/// Grid: ⌈width/32⌉ blocks of 1024 threads: 32 columns, and 32 threads that share one's partial sums.
/// Bound: latency, and bytes of the partials.
extern "C" __global__ void __launch_bounds__(1024) mf_add_partials(
    int64_t blocks, int64_t width, const float *partials, int64_t stride, float *y, int accumulate) {
  __shared__ float sums[32][32];
  const int lane = threadIdx.x % 32, part = threadIdx.x / 32;
  const int64_t column = int64_t(blockIdx.x) * 32 + lane;
  float sum = 0.0f;
  if (column < width)
#pragma unroll 8
    for (int64_t b = part; b < blocks; b += 32) sum += partials[b * stride + column];
  sums[part][lane] = sum;
  __syncthreads();
  if (part != 0 || column >= width) return;
  float total = accumulate ? y[column] : 0.0f;
#pragma unroll
  for (int i = 0; i < 32; i++) total += sums[i][lane];
  y[column] = total;
}

// MARK: Sums over heads, for attention's gradient

/// delta[(b·H + h)·T + t] = do·o of row b·T + t's head h.
///
/// Grid: B·T blocks of 128 threads; a head is shared by the fewest lanes (a power of two) with eight elements each.
/// Bound: bytes (of halves 4 per element).
extern "C" __global__ void __launch_bounds__(128) mf_attention_delta(
    int time, int heads, int head_size, const act *o, int64_t ld_o, const act *dout, int64_t ld_do, float *delta) {
  int lanes = 1;
  while (lanes * 8 < head_size) lanes *= 2;
  const int64_t row = blockIdx.x;
  const int column = threadIdx.x % lanes * 8;
  for (int base = 0; base < heads; base += 128 / lanes) {
    const int head = base + threadIdx.x / lanes, n = head < heads ? head_size - column : 0;
    const int at = head * head_size + column;
    float a[8], c[8], dot = 0.0f;
    load(o + row * ld_o + at, n, a);
    load(dout + row * ld_do + at, n, c);
#pragma unroll
    for (int i = 0; i < 8; i++) dot = fmaf(a[i], c[i], dot);
    for (int distance = lanes / 2; distance > 0; distance /= 2) dot += __shfl_xor_sync(ALL_LANES, dot, distance);
    if (head < heads && column == 0) delta[(row / time * heads + head) * time + row % time] = dot;
  }
}
