// Layer and RMS normalization, forward and backward.
//
// y = (x − mean)·rstd·w + b, rstd = 1/√(mean((x − mean)²) + ε); RMS: rstd = 1/√(mean(x²) + ε), no mean, no bias.
// dx = addend + rstd·(g − mean(g) − x̂·mean(g·x̂)), g = dy·w, x̂ = (x − mean)·rstd (RMS: without mean(g)).
// dw = Σ_rows dy·x̂, db = Σ_rows dy. The gradient also gives y once more where it was not kept.
// Shapes: x, y, dx, dy (rows, width); w, b (width); mean, rstd (rows). kind: 0 layer, 1 RMS.
//
// A row lies in registers: 8·CHUNKS elements a lane, in one warp or, above 1024 columns, in all eight of a block. Names
// end with the widest row that the kernel takes; the host picks the narrowest that will do.
// Bound: bytes (of halves 4 per element forward, 6–10 backward).
// Ba et al., arXiv:1607.06450; Zhang & Sennrich, arXiv:1910.07467.
#include "common.cuh"

/// This thread's place: which row of the block's, and the column of chunk k.
template <int WARPS>
struct row_place {
  int lane, row;
  MF_DEVICE row_place() : lane(threadIdx.x % (32 * WARPS)), row(threadIdx.x / (32 * WARPS)) {}
  MF_DEVICE int64_t column(int chunk) const { return (int64_t(chunk) * 32 * WARPS + lane) * 8; }
};

template <int WARPS>
MF_DEVICE float row_sum(float v, float *room) {
  return WARPS == 1 ? warp_sum(v) : block_sum<WARPS>(v, room);
}

/// x̂·w + b at n elements from `column` on; w and b may be NULL.
MF_DEVICE void weigh(float (&v)[8], const float *w, const float *b, int64_t column, int64_t n) {
  float factor[8];
  if (w != nullptr) {
    load_floats(w + column, n, factor);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] *= factor[i];
  }
  if (b != nullptr) {
    load_floats(b + column, n, factor);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] += factor[i];
  }
}

template <int CHUNKS, int WARPS>
MF_DEVICE void norm(int rms, int64_t rows, int64_t width, float epsilon, const act *x, const float *weight,
                    const float *bias, act *y, float *mean, float *rstd) {
  __shared__ float room[8];
  const row_place<WARPS> place;
  const int64_t row = int64_t(blockIdx.x) * (8 / WARPS) + place.row;
  if (row >= rows) return;
  octet given[CHUNKS];
  float v[CHUNKS][8], sum = 0.0f;
#pragma unroll
  for (int k = 0; k < CHUNKS; k++) given[k] = load_octet(x + row * width + place.column(k), width - place.column(k));
#pragma unroll
  for (int k = 0; k < CHUNKS; k++) {
    unpack(given[k], v[k]);
#pragma unroll
    for (int i = 0; i < 8; i++) sum += v[k][i];
  }
  const float shift = rms ? 0.0f : row_sum<WARPS>(sum, room) / float(width);
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < CHUNKS; k++)
#pragma unroll
    for (int i = 0; i < 8; i++) {
      v[k][i] -= shift;
      if (place.column(k) + i < width) squares = fmaf(v[k][i], v[k][i], squares);
    }
  const float scale = 1.0f / sqrtf(row_sum<WARPS>(squares, room) / float(width) + epsilon);
  if (place.lane == 0) {
    if (!rms) mean[row] = shift;
    rstd[row] = scale;
  }
#pragma unroll
  for (int k = 0; k < CHUNKS; k++) {
    const int64_t column = place.column(k), n = width - column;
#pragma unroll
    for (int i = 0; i < 8; i++) v[k][i] *= scale;
    weigh(v[k], weight, rms ? nullptr : bias, column, n);
    store(y + row * width + column, n, v[k]);
  }
}

/// In so short a row x̂ is nearly ±1 and the terms of dx cancel: in fp64, from x alone, what is left is exact.
constexpr int SHORT_ROW = 4;

MF_DEVICE void norm_gradient_short(int rms, int width, float epsilon, const act *row, const float *w, const float *dy,
                                   const act *addend, float *dx) {
  double mean = 0, variance = 0, sum = 0, dot = 0, x[SHORT_ROW], g[SHORT_ROW], normalized[SHORT_ROW];
  for (int i = 0; i < width; i++) x[i] = widen(row[i]);
  for (int i = 0; i < width && !rms; i++) mean += x[i] / width;
  for (int i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean) / width;
  const double rstd = 1.0 / sqrt(variance + epsilon);
  for (int i = 0; i < width; i++) {
    g[i] = double(dy[i]) * (w != nullptr ? double(w[i]) : 1.0);
    normalized[i] = (x[i] - mean) * rstd;
    if (!rms) sum += g[i] / width;
    dot += g[i] * normalized[i] / width;
  }
  for (int i = 0; i < width; i++) {
    const double added = addend != nullptr ? double(widen(addend[i])) : 0.0;
    dx[i] = float(added + rstd * (g[i] - sum - normalized[i] * dot));
  }
}

/// Rows of a block at a time. Blocks of four warps: several share the registers of a multiprocessor.
template <int WARPS>
constexpr int GRADIENT_ROWS = WARPS == 1 ? 4 : 1;

/// Rows are dealt to the grid's places in turn; each place keeps its share of dw and db in registers, and a row's elements
/// as they are stored.
template <int CHUNKS, int WARPS>
MF_DEVICE void norm_gradient(int rms, int64_t rows, int64_t width, float epsilon, const act *x, const act *dy,
                             const act *addend, const float *weight, const float *bias, const float *mean,
                             const float *rstd, act *dx, act *y, float *partials) {
  __shared__ float room[8];
  const row_place<WARPS> place;
  float *sums = reinterpret_cast<float *>(mf_shared);  // dw, then db: of the block's places so far
  float dw[CHUNKS][8] = {}, db[CHUNKS][8] = {};
  for (int64_t row = int64_t(blockIdx.x) * GRADIENT_ROWS<WARPS> + place.row; row < rows;
       row += int64_t(gridDim.x) * GRADIENT_ROWS<WARPS>) {
    const float shift = rms ? 0.0f : mean[row], scale = rstd[row];
    octet given[CHUNKS], gradient[CHUNKS], added[CHUNKS];
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
      const int64_t at = row * width + place.column(k), n = width - place.column(k);
      given[k] = load_octet(x + at, n);
      gradient[k] = load_octet(dy + at, n);
      added[k] = addend != nullptr ? load_octet(addend + at, n) : octet{};
    }
    /// x̂, dy and dy·w of eight elements. Beyond the row dy is 0, and so are all its products.
    const auto see = [&](int k, float(&normalized)[8], float(&d)[8], float(&g)[8]) {
      unpack(given[k], normalized);
      unpack(gradient[k], d);
      if (weight != nullptr) load_floats(weight + place.column(k), width - place.column(k), g);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        normalized[i] = (normalized[i] - shift) * scale;
        g[i] = weight != nullptr ? d[i] * g[i] : d[i];
      }
    };
    float sum = 0.0f, dot = 0.0f;
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
      float normalized[8], d[8], g[8];
      see(k, normalized, d, g);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        dw[k][i] = fmaf(d[i], normalized[i], dw[k][i]);
        db[k][i] += d[i];
        sum += g[i];
        dot = fmaf(g[i], normalized[i], dot);
      }
    }
    sum = rms ? 0.0f : row_sum<WARPS>(sum, room) / float(width);
    dot = row_sum<WARPS>(dot, room) / float(width);
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
      const int64_t column = place.column(k), n = width - column;
      float normalized[8], d[8], g[8], v[8];
      see(k, normalized, d, g);
      unpack(added[k], v);
#pragma unroll
      for (int i = 0; i < 8; i++) v[i] += (g[i] - sum - normalized[i] * dot) * scale;
      if (CHUNKS * WARPS == 1 && width <= SHORT_ROW && place.lane == 0)
        norm_gradient_short(
            rms, int(width), epsilon, x + row * width, weight, d, addend != nullptr ? addend + row * width : nullptr,
            v);
      store(dx + row * width + column, n, v);
      if (y == nullptr) continue;
      weigh(normalized, weight, rms ? nullptr : bias, column, n);
      store(y + row * width + column, n, normalized);
    }
  }
  if (partials == nullptr) return;
  // One place after another adds its share, so that the order is always the same.
  for (int turn = 0; turn < GRADIENT_ROWS<WARPS>; turn++) {
    if (place.row == turn)
#pragma unroll
      for (int k = 0; k < CHUNKS; k++)
#pragma unroll
        for (int i = 0; i < 8; i++) {
          const int64_t column = place.column(k) + i;
          if (column >= width) continue;
          sums[column] = (turn > 0 ? sums[column] : 0.0f) + dw[k][i];
          sums[width + column] = (turn > 0 ? sums[width + column] : 0.0f) + db[k][i];
        }
    __syncthreads();
  }
  for (int64_t j = threadIdx.x; j < 2 * width; j += blockDim.x) partials[int64_t(blockIdx.x) * 2 * width + j] = sums[j];
}

/// mf_norm_…: y, mean and rstd; mean is not touched for RMS.
///
/// Grid: ⌈rows/8⌉ blocks of 256 threads up to 1024 columns, above them `rows`.
///
/// mf_norm_gradient_…: dx, y and (blocks, 2·width) partial sums of dw and db, for mf_add_partials. addend, y and
/// partials may be NULL; dx may be addend; y may be dy.
///
/// Grid: up to ⌈rows/4⌉ blocks of 128 threads up to 1024 columns, above them least(512, rows) of 256.
/// Shared memory: 8·width bytes.
#define MF_NORM(WIDEST, CHUNKS, WARPS)                                                                             \
  extern "C" __global__ void __launch_bounds__(256) mf_norm_##WIDEST(                                              \
      int kind, int64_t rows, int64_t width, float epsilon, const act *x, const float *weight, const float *bias,  \
      act *y, float *mean, float *rstd) {                                                                          \
    norm<CHUNKS, WARPS>(kind, rows, width, epsilon, x, weight, bias, y, mean, rstd);                               \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(WARPS == 1 ? 128 : 256, 1) mf_norm_gradient_##WIDEST(              \
      int kind, int64_t rows, int64_t width, float epsilon, const act *x, const act *dy, const act *addend,        \
      const float *weight, const float *bias, const float *mean, const float *rstd, act *dx, act *y,               \
      float *partials) {                                                                                           \
    norm_gradient<CHUNKS, WARPS>(                                                                                  \
        kind, rows, width, epsilon, x, dy, addend, weight, bias, mean, rstd, dx, y, partials);                     \
  }

#define MF_NORM_UP_TO(WIDEST) \
  MF_NORM(WIDEST, (WIDEST <= 1024 ? (WIDEST + 255) / 256 : (WIDEST + 2047) / 2048), (WIDEST <= 1024 ? 1 : 8))

#ifdef MF_SIZE
MF_NORM_UP_TO(MF_SIZE)
#else
MF_NORM_UP_TO(256)
MF_NORM_UP_TO(512)
MF_NORM_UP_TO(768)
MF_NORM_UP_TO(1024)
MF_NORM_UP_TO(2048)
MF_NORM_UP_TO(4096)
MF_NORM_UP_TO(8192)
#endif
