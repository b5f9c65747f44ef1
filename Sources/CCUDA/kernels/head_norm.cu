// RMS normalization of single heads inside packed rows (query/key norm), forward and backward.
//
// y_h = x_h·rstd_h·w, rstd_h = 1/√(mean(x_h²) + ε); w is the query's for h < query_heads, else the key's, NULL for
// none. Gradients as in norm.cu, per head; columns behind the heads are copied in both directions.
// Shapes: x, y, dx, dy (rows, ld) with head h at columns h·D; rstd (rows, heads); weights (D). D up to 256.
//
// A head lies in the registers of a group of 1, 2, 4 … 32 lanes, eight elements a lane.
// Bound: bytes (of halves 4 per element forward, 6 backward).
// Henry et al., arXiv:2010.04245; Dehghani et al., arXiv:2302.05442.
#include "common.cuh"

/// Lanes that share a head.
MF_DEVICE int group_lanes(int head_size) {
  int lanes = 1;
  while (lanes * 8 < head_size) lanes *= 2;
  return lanes;
}

/// Over the lanes of a group; all lanes of the warp take part.
MF_DEVICE float group_sum(float v, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) v += __shfl_xor_sync(ALL_LANES, v, distance);
  return v;
}

/// y may be x.
///
/// Grid: `rows` blocks of 128 threads.
extern "C" __global__ void __launch_bounds__(128) mf_head_norm(
    int64_t ld, int heads, int query_heads, int head_size, float epsilon, const act *x, const float *query_weight,
    const float *key_weight, act *y, float *rstd) {
  const int lanes = group_lanes(head_size), groups = 128 / lanes, column = threadIdx.x % lanes * 8;
  const int64_t row = blockIdx.x;
  const int n = head_size - column;
  // All lanes go round equally often: sums are over whole warps.
  for (int base = 0; base < heads; base += groups) {
    const int head = base + threadIdx.x / lanes;
    const bool exists = head < heads;
    const int64_t at = row * ld + int64_t(head) * head_size + column;
    float v[8], squares = 0.0f;
    load(x + at, exists ? n : 0, v);
#pragma unroll
    for (int i = 0; i < 8; i++) squares = fmaf(v[i], v[i], squares);
    const float scale = 1.0f / sqrtf(group_sum(squares, lanes) / float(head_size) + epsilon);
    if (!exists) continue;
    if (column == 0) rstd[row * heads + head] = scale;
    const float *weight = head < query_heads ? query_weight : key_weight;
    float w[8];
    if (weight != nullptr) load_floats(weight + column, n, w);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = weight != nullptr ? v[i] * scale * w[i] : v[i] * scale;
    store(y + at, n, v);
  }
  if (x == y) return;
  for (int64_t j = int64_t(heads) * head_size + threadIdx.x * 8; j < ld; j += 1024) {
    float v[8];
    load(x + row * ld + j, ld - j, v);
    store(y + row * ld + j, ld - j, v);
  }
}

/// In so short a head x̂ is nearly ±1 and the terms of dx cancel: in fp64, from x alone, what is left is exact.
constexpr int SHORT_HEAD = 4;

MF_DEVICE void head_norm_gradient_short(int size, float epsilon, const float *row, const float *g, float *dx) {
  double squares = 0, dot = 0;
  for (int i = 0; i < size; i++) squares += double(row[i]) * row[i] / size;
  const double rstd = 1.0 / sqrt(squares + epsilon);
  for (int i = 0; i < size; i++) dot += g[i] * (row[i] * rstd) / size;
  for (int i = 0; i < size; i++) dx[i] = float(rstd * (g[i] - row[i] * rstd * dot));
}

/// dx (which may be dy) and (blocks, 2·D) partial sums of both weights' gradients, for mf_add_partials; or NULL.
///
/// Grid: least(512, rows) blocks of 128 threads, which take turns at rows.
extern "C" __global__ void __launch_bounds__(128) mf_head_norm_gradient(
    int64_t rows, int64_t ld, int heads, int query_heads, int head_size, float epsilon, const act *x, const act *dy,
    const float *query_weight, const float *key_weight, const float *rstd, act *dx, float *partials) {
  __shared__ float sums[128][17];  // a row more than is used, against bank conflicts
  const int lanes = group_lanes(head_size), groups = 128 / lanes, column = threadIdx.x % lanes * 8;
  const int n = head_size - column;
  float dquery[8] = {}, dkey[8] = {};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    for (int base = 0; base < heads; base += groups) {
      const int head = base + threadIdx.x / lanes;
      const bool exists = head < heads, query = head < query_heads;
      const int64_t at = row * ld + int64_t(head) * head_size + column;
      float v[8], d[8], w[8], g[8], dot = 0.0f;
      load(x + at, exists ? n : 0, v);
      load(dy + at, exists ? n : 0, d);
      const float scale = exists ? rstd[row * heads + head] : 0.0f;
      const float *weight = query ? query_weight : key_weight;
      if (weight != nullptr) load_floats(weight + column, n, w);
      float normalized[8];
#pragma unroll
      for (int i = 0; i < 8; i++) {
        normalized[i] = v[i] * scale;
        g[i] = weight != nullptr ? d[i] * w[i] : d[i];
        dot = fmaf(g[i], normalized[i], dot);
        if (query) dquery[i] = fmaf(d[i], normalized[i], dquery[i]);
        else dkey[i] = fmaf(d[i], normalized[i], dkey[i]);
      }
      dot = group_sum(dot, lanes) / float(head_size);
      if (!exists) continue;
#pragma unroll
      for (int i = 0; i < 8; i++) w[i] = (g[i] - normalized[i] * dot) * scale;
      if (head_size <= SHORT_HEAD) head_norm_gradient_short(head_size, epsilon, v, g, w);
      store(dx + at, n, w);
    }
    if (dx == dy) continue;
    for (int64_t j = int64_t(heads) * head_size + threadIdx.x * 8; j < ld; j += 1024) {
      float v[8];
      load(dy + row * ld + j, ld - j, v);
      store(dx + row * ld + j, ld - j, v);
    }
  }
  if (partials == nullptr) return;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    sums[threadIdx.x][i] = dquery[i];
    sums[threadIdx.x][8 + i] = dkey[i];
  }
  __syncthreads();
  for (int j = threadIdx.x; j < 2 * head_size; j += 128) {
    const int element = j % head_size, place = (j < head_size ? 0 : 8) + element % 8;
    float sum = 0.0f;
    for (int group = 0; group < groups; group++) sum += sums[group * lanes + element / 8][place];
    partials[int64_t(blockIdx.x) * 2 * head_size + j] = sum;
  }
}
