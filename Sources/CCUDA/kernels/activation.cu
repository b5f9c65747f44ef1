// Activations, plain y = f(x) and gated y = f(gate)·up with x = gate ‖ up (Shazeer, arXiv:2002.05202), and gradients.
//
// The gradient also gives y once more where it was not kept: bit for bit, as both call the same function.
// Shapes: x (rows, width) or gated (rows, 2·width); y (rows, width). kind: as mf_activation_kind of CKernels.h.
// A plain activation is flat: the host passes one row of rows·width elements.
// Grid of all: ⌈rows·⌈width/8⌉ / 256⌉ blocks of 256 threads, eight elements a thread.
// Bound: bytes (of halves 4 per element plain, 6 gated; backward 6 to 8, 10 to 12).
#include "common.cuh"

enum activation_kind { RELU, RELU_SQUARED, SILU, GELU, GELU_TANH };

MF_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/// f(x), and f′(x) in `slope`: who does not want that pays nothing for it.
template <int KIND>
MF_DEVICE float activate(float x, float &slope) {
  if (KIND == RELU) {
    slope = x > 0.0f ? 1.0f : 0.0f;
    return x > 0.0f ? x : 0.0f;
  }
  if (KIND == RELU_SQUARED) {
    const float positive = x > 0.0f ? x : 0.0f;
    slope = 2.0f * positive;
    return positive * positive;
  }
  if (KIND == SILU) {
    const float s = sigmoid(x);
    slope = s * fmaf(x, 1.0f - s, 1.0f);
    return x * s;
  }
  if (KIND == GELU) {
    const float p = 0.5f * erfcf(-0.707106781186547524f * x), density = 0.3989422804014327f * expf(-0.5f * x * x);
    slope = fmaf(x, density, p);
    return x * p;
  }
  // (1 + tanh u)/2 = sigmoid(2u)
  const float s = sigmoid(1.5957691216057308f * x * fmaf(x * x, 0.044715f, 1.0f));
  const float inner = fmaf(x * x, 3.0f * 0.044715f, 1.0f) * 1.5957691216057308f;
  slope = s * fmaf(x * inner, 1.0f - s, 1.0f);
  return x * s;
}

/// Where eight elements of a row lie.
struct activation_place {
  int64_t row, column, n;
  MF_DEVICE activation_place(int64_t rows, int64_t width) {
    const int64_t chunks = (width + 7) / 8, item = int64_t(blockIdx.x) * 256 + threadIdx.x;
    if (rows == 1) {
      row = 0;
      column = item * 8;
    } else {
      // The host keeps items below 2³².
      row = uint32_t(item) / uint32_t(chunks);
      column = int64_t(uint32_t(item) % uint32_t(chunks)) * 8;
    }
    n = row < rows ? width - column : 0;
  }
};

template <int KIND>
MF_DEVICE void activation(int64_t rows, int64_t width, const act *x, act *y) {
  const activation_place place(rows, width);
  if (place.n <= 0) return;
  float v[8], slope;
  load(x + place.row * width + place.column, place.n, v);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = activate<KIND>(v[i], slope);
  store(y + place.row * width + place.column, place.n, v);
}

template <int KIND>
MF_DEVICE void gated_activation(int64_t rows, int64_t width, const act *x, act *y) {
  const activation_place place(rows, width);
  if (place.n <= 0) return;
  const act *gate = x + place.row * 2 * width + place.column;
  float v[8], up[8], slope;
  load(gate, place.n, v);
  load(gate + width, place.n, up);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = activate<KIND>(v[i], slope) * up[i];
  store(y + place.row * width + place.column, place.n, v);
}

template <int KIND>
MF_DEVICE void activation_gradient(int64_t rows, int64_t width, const act *x, const act *dy, act *dx, act *y) {
  const activation_place place(rows, width);
  if (place.n <= 0) return;
  const int64_t at = place.row * width + place.column;
  float v[8], d[8];
  load(x + at, place.n, v);
  load(dy + at, place.n, d);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float slope;
    v[i] = activate<KIND>(v[i], slope);
    d[i] *= slope;
  }
  store(dx + at, place.n, d);
  if (y != nullptr) store(y + at, place.n, v);
}

template <int KIND>
MF_DEVICE void gated_activation_gradient(int64_t rows, int64_t width, const act *x, const act *dy, act *dx, act *y) {
  const activation_place place(rows, width);
  if (place.n <= 0) return;
  const int64_t at = place.row * width + place.column, gate = place.row * 2 * width + place.column;
  float v[8], up[8], d[8];
  load(x + gate, place.n, v);
  load(x + gate + width, place.n, up);
  load(dy + at, place.n, d);
  float dgate[8], dup[8];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float slope;
    const float f = activate<KIND>(v[i], slope);
    dgate[i] = d[i] * up[i] * slope;
    dup[i] = d[i] * f;
    v[i] = f * up[i];
  }
  store(dx + gate, place.n, dgate);
  store(dx + gate + width, place.n, dup);
  if (y != nullptr) store(y + at, place.n, v);
}

// A copy of each function for each kind: one straight formula in each.
#define MF_FOR_KIND(function, ...)                                                                                 \
  switch (kind) {                                                                                                  \
  case RELU: function<RELU>(__VA_ARGS__); break;                                                                   \
  case RELU_SQUARED: function<RELU_SQUARED>(__VA_ARGS__); break;                                                   \
  case SILU: function<SILU>(__VA_ARGS__); break;                                                                   \
  case GELU: function<GELU>(__VA_ARGS__); break;                                                                   \
  case GELU_TANH: function<GELU_TANH>(__VA_ARGS__); break;                                                         \
  }

/// y may be x.
extern "C" __global__ void __launch_bounds__(256) mf_activation(
    int kind, int64_t rows, int64_t width, const act *x, act *y) {
  MF_FOR_KIND(activation, rows, width, x, y)
}

extern "C" __global__ void __launch_bounds__(256) mf_gated_activation(
    int kind, int64_t rows, int64_t width, const act *x, act *y) {
  MF_FOR_KIND(gated_activation, rows, width, x, y)
}

/// y may be NULL or x; dx may be dy.
extern "C" __global__ void __launch_bounds__(256) mf_activation_gradient(
    int kind, int64_t rows, int64_t width, const act *x, const act *dy, act *dx, act *y) {
  MF_FOR_KIND(activation_gradient, rows, width, x, dy, dx, y)
}

/// y may be NULL or dy.
extern "C" __global__ void __launch_bounds__(256) mf_gated_activation_gradient(
    int kind, int64_t rows, int64_t width, const act *x, const act *dy, act *dx, act *y) {
  MF_FOR_KIND(gated_activation_gradient, rows, width, x, dy, dx, y)
}
