// A matrix product with what cuBLASLt does around it, on the CPU. Matrices are column-major.
#pragma once

#include <cstddef>
#include <cstdint>

namespace driver {

struct Matrix {
  int type;  // CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF
  uint64_t rows, columns;
  int64_t leading_dimension;
  // A batch: matrices alike, so many elements apart.
  int32_t count = 1;
  int64_t stride = 0;

  size_t element_bytes() const;
  /// From the first element of the first matrix to the last of the last.
  size_t bytes() const {
    return (size_t(count - 1) * size_t(stride) + (columns - 1) * size_t(leading_dimension) + rows) * element_bytes();
  }
};

/// D = epilogue(α · op(A) · op(B) + β · C), D of m × n, sums over k in fp32; for each matrix of a batch.
struct Product {
  Matrix a, b, c, d;
  bool transposes_a, transposes_b;
  float alpha, beta;
  int epilogue, bias_type;
  int64_t auxiliary_leading_dimension;
  bool splits;  // k is summed in two halves, which are added: rounded otherwise

  uint64_t m() const { return d.rows; }
  uint64_t n() const { return d.columns; }
  uint64_t k() const { return transposes_a ? a.rows : a.columns; }

  /// `bias` (m): read by BIAS and GELU_AUX_BIAS. `auxiliary`: what goes into GELU, m × n of D's type: written by
  /// GELU_AUX_BIAS, read by DGELU.
  void run(const void *a, const void *b, const void *c, void *d, const void *bias, void *auxiliary) const;

 private:
  void run_one(const void *a, const void *b, const void *c, void *d, const void *bias, void *auxiliary) const;
};

}  // namespace driver
