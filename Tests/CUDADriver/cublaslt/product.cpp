#include "product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "CUDADriver.h"

namespace driver {

namespace {

uint16_t narrow_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return std::isnan(x) ? 0x7fff : uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float load(const void *p, int type, size_t i) {
  if (type == CUDA_R_32F) return static_cast<const float *>(p)[i];
  if (type == CUDA_R_16F) return float(static_cast<const _Float16 *>(p)[i]);
  const uint32_t bits = uint32_t(static_cast<const uint16_t *>(p)[i]) << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

void store(void *p, int type, size_t i, float x) {
  if (type == CUDA_R_32F) static_cast<float *>(p)[i] = x;
  else if (type == CUDA_R_16F) static_cast<_Float16 *>(p)[i] = static_cast<_Float16>(x);
  else static_cast<uint16_t *>(p)[i] = narrow_bf16(x);
}

// GELU by tanh, as cuBLASLt has it.
constexpr float sqrt_2_over_pi = 0.7978845608f, cubic = 0.044715f;

float gelu(float x) { return 0.5f * x * (1 + std::tanh(sqrt_2_over_pi * (x + cubic * x * x * x))); }

float gelu_gradient(float x) {
  const float t = std::tanh(sqrt_2_over_pi * (x + cubic * x * x * x));
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * sqrt_2_over_pi * (1 + 3 * cubic * x * x);
}

/// op(X) as floats, column by column.
std::vector<float> unpacked(const void *p, const Matrix &x, bool is_transposed) {
  const uint64_t rows = is_transposed ? x.columns : x.rows, columns = is_transposed ? x.rows : x.columns;
  std::vector<float> out(rows * columns);
  for (uint64_t column = 0; column < columns; column++)
    for (uint64_t row = 0; row < rows; row++) {
      const uint64_t at = is_transposed ? row * uint64_t(x.leading_dimension) + column
                                        : column * uint64_t(x.leading_dimension) + row;
      out[column * rows + row] = load(p, x.type, at);
    }
  return out;
}

/// sum (m × 4) += A (m × k, from row-block start) · four columns of B: one pass over A serves four columns.
void add_products(float *__restrict sum, const float *__restrict a, const float *__restrict b, uint64_t m, uint64_t k,
                  uint64_t first, uint64_t end, unsigned columns) {
  for (uint64_t i = first; i < end; i++)
    for (unsigned j = 0; j < columns; j++) {
      const float factor = b[j * k + i];
      for (uint64_t row = 0; row < m; row++) sum[j * m + row] += a[i * m + row] * factor;
    }
}

}  // namespace

size_t Matrix::element_bytes() const { return type == CUDA_R_32F ? 4 : 2; }

void Product::run(const void *a_data, const void *b_data, const void *c_data, void *d_data, const void *bias,
                  void *auxiliary) const {
  for (int32_t i = 0; i < d.count; i++) {
    const auto start = [i](const Matrix &x) { return size_t(i) * size_t(x.stride) * x.element_bytes(); };
    run_one(static_cast<const char *>(a_data) + start(a), static_cast<const char *>(b_data) + start(b),
            static_cast<const char *>(c_data) + start(c), static_cast<char *>(d_data) + start(d), bias, auxiliary);
  }
}

void Product::run_one(const void *a_data, const void *b_data, const void *c_data, void *d_data, const void *bias,
                      void *auxiliary) const {
  const uint64_t m = this->m(), n = this->n(), k = this->k();
  const std::vector<float> A = unpacked(a_data, a, transposes_a), B = unpacked(b_data, b, transposes_b);
  constexpr unsigned width = 4;
  std::vector<float> sums(width * m), others(width * m);

  for (uint64_t start = 0; start < n; start += width) {
    const unsigned columns = unsigned(std::min<uint64_t>(width, n - start));
    std::fill(sums.begin(), sums.end(), 0.0f);
    const uint64_t half = splits ? k / 2 : k;
    add_products(sums.data(), A.data(), &B[start * k], m, k, 0, half, columns);
    if (splits) {
      std::fill(others.begin(), others.end(), 0.0f);
      add_products(others.data(), A.data(), &B[start * k], m, k, half, k, columns);
      for (uint64_t i = 0; i < columns * m; i++) sums[i] += others[i];
    }
    for (unsigned j = 0; j < columns; j++)
      for (uint64_t row = 0; row < m; row++) {
        const uint64_t column = start + j;
        float x = alpha * sums[j * m + row];
        if (beta != 0) x += beta * load(c_data, c.type, column * uint64_t(c.leading_dimension) + row);
        const uint64_t in_auxiliary = column * uint64_t(auxiliary_leading_dimension) + row;
        switch (epilogue) {
          case CUBLASLT_EPILOGUE_BIAS: x += load(bias, bias_type, row); break;
          case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
            x += load(bias, bias_type, row);
            store(auxiliary, d.type, in_auxiliary, x);
            x = gelu(x);
            break;
          case CUBLASLT_EPILOGUE_DGELU: x *= gelu_gradient(load(auxiliary, d.type, in_auxiliary)); break;
          default: break;
        }
        store(d_data, d.type, column * uint64_t(d.leading_dimension) + row, x);
      }
  }
}

}  // namespace driver
