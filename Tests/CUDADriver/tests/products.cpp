// cuBLASLt's stand-in beside plain loops in fp64.
#include <cmath>

#include "halves.h"
#include "host.h"

static uint32_t random_state = 7;
static float random_float() {
  random_state = random_state * 1664525 + 1013904223;
  return float(random_state >> 8) / float(1 << 23) - 1;
}

/// A column-major matrix on both sides.
struct TestMatrix {
  int type;
  uint64_t rows, columns;
  int64_t ld;
  std::vector<double> values;  // as stored: rounded
  CUdeviceptr address;
  cublasLtMatrixLayout_t layout;

  TestMatrix(int type, uint64_t rows, uint64_t columns, int64_t padding)
      : type(type), rows(rows), columns(columns), ld(int64_t(rows) + padding), values(size_t(ld) * columns) {
    std::vector<float> floats(values.size());
    std::vector<uint16_t> halves(values.size());
    for (size_t i = 0; i < values.size(); i++) {
      floats[i] = random_float();
      halves[i] = nearest_half(floats[i], type == CUDA_R_16BF);
      values[i] = double(type == CUDA_R_32F ? floats[i] : half_value(halves[i], type == CUDA_R_16BF));
    }
    address = type == CUDA_R_32F ? upload(floats) : upload(halves);
    OK(cublaslt.cublasLtMatrixLayoutCreate(&layout, type, rows, columns, ld));
  }
  double at(uint64_t row, uint64_t column) const { return values[column * uint64_t(ld) + row]; }
  void *pointer() const { return reinterpret_cast<void *>(address); }

  std::vector<double> read() const {
    std::vector<double> result;
    if (type == CUDA_R_32F)
      for (float x : download<float>(address, values.size())) result.push_back(double(x));
    else
      for (uint16_t h : download<uint16_t>(address, values.size())) result.push_back(double(half_value(h, type == CUDA_R_16BF)));
    return result;
  }
  double tolerance() const { return type == CUDA_R_32F ? 1e-4 : type == CUDA_R_16F ? 4e-3 : 3e-2; }
};

static double gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

static void check_product(int type, int out, bool ta, bool tb, int epilogue, float alpha, float beta, int algorithm) {
  const uint64_t m = 19, n = 13, k = 21;
  TestMatrix a(type, ta ? k : m, ta ? m : k, 3), b(type, tb ? n : k, tb ? k : n, 0), d(out, m, n, 2), aux(out, m, n, 5);
  TestMatrix bias(out, m, 1, 0);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t description;
  OK(cublaslt.cublasLtCreate(&handle));
  OK(cublaslt.cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const auto set = [&](int attribute, auto value) {
    OK(cublaslt.cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, int(ta ? CUBLAS_OP_T : CUBLAS_OP_N));
  set(CUBLASLT_MATMUL_DESC_TRANSB, int(tb ? CUBLAS_OP_T : CUBLAS_OP_N));
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.pointer());
  set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, out);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux.pointer());
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux.ld);
  cublasLtMatmulPreference_t preference;
  OK(cublaslt.cublasLtMatmulPreferenceCreate(&preference));
  size_t workspace_bytes = 1 << 20;
  OK(cublaslt.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, 8));
  cublasLtMatmulHeuristicResult_t results[4];
  int found = 0;
  OK(cublaslt.cublasLtMatmulAlgoGetHeuristic(handle, description, a.layout, b.layout, d.layout, d.layout, preference, 4,
                                             results, &found));
  EXPECT_EQUAL(found, 2);
  CUdeviceptr workspace;
  OK(cuda.cuMemAlloc_v2(&workspace, workspace_bytes));
  OK(cublaslt.cublasLtMatmul(handle, description, &alpha, a.pointer(), a.layout, b.pointer(), b.layout, &beta, d.pointer(),
                             d.layout, d.pointer(), d.layout, &results[algorithm].algo,
                             reinterpret_cast<void *>(workspace), workspace_bytes, stream));

  const auto got = d.read(), got_bias = bias.read(), got_aux = aux.read();
  for (uint64_t column = 0; column < n; column++) {
    for (uint64_t row = 0; row < m; row++) {
      double x = 0;
      for (uint64_t i = 0; i < k; i++) x += (ta ? a.at(i, row) : a.at(row, i)) * (tb ? b.at(column, i) : b.at(i, column));
      x = double(alpha) * x + double(beta) * d.at(row, column);
      const double z = aux.at(row, column);
      if (epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) x += bias.at(row, 0);
      if (epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) {
        EXPECT(std::fabs(got_aux[column * uint64_t(aux.ld) + row] - x) < aux.tolerance() * 4);
        x = gelu(x);
      }
      if (epilogue == CUBLASLT_EPILOGUE_DGELU) x *= (gelu(z + 1e-5) - gelu(z - 1e-5)) / 2e-5;
      EXPECT(std::fabs(got[column * uint64_t(d.ld) + row] - x) < d.tolerance() * 4);
    }
    // What lies between columns stays.
    if (column + 1 < n) EXPECT_EQUAL(got[column * uint64_t(d.ld) + m], d.at(m, column));
  }
  for (uint64_t i = 0; i < m; i++) EXPECT_EQUAL(got_bias[i], bias.at(i, 0));
}

TEST(products_of_all_types_transposes_and_epilogues) {
  open_device();
  int algorithm = 0;
  for (int type : {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF})
    for (int out : {type, int(CUDA_R_32F)})
      for (int transposes = 0; transposes < 4; transposes++)
        for (int epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                             CUBLASLT_EPILOGUE_DGELU})
          for (float beta : {0.0f, 1.0f})
            check_product(type, out, transposes & 1, transposes & 2, epilogue, beta == 0 ? 1.0f : 0.5f, beta, algorithm ^= 1);
}

/// The matrices of a batch as one, in which a column of nobody's follows each.
struct TestBatch : TestMatrix {
  uint64_t stride;

  TestBatch(int type, int count, uint64_t rows, uint64_t columns)
      : TestMatrix(type, rows, (columns + 1) * uint64_t(count), 2), stride((columns + 1) * uint64_t(ld)) {
    OK(cublaslt.cublasLtMatrixLayoutCreate(&layout, type, rows, columns, ld));
    const int64_t offset = int64_t(stride);
    OK(cublaslt.cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    OK(cublaslt.cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset, sizeof offset));
  }
};

TEST(products_of_batches) {
  open_device();
  const int count = 3;
  const uint64_t m = 19, n = 6, k = 11;
  const float alpha = 0.5f, beta = -2;
  for (int type : {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF}) {
    TestBatch a(type, count, k, m), b(type, count, k, n), c(type, count, m, n), d(type, count, m, n);
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t description;
    OK(cublaslt.cublasLtCreate(&handle));
    OK(cublaslt.cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const int transposed = CUBLAS_OP_T;
    OK(cublaslt.cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed));
    OK(cublaslt.cublasLtMatmul(handle, description, &alpha, a.pointer(), a.layout, b.pointer(), b.layout, &beta, c.pointer(),
                               c.layout, d.pointer(), d.layout, nullptr, nullptr, 0, stream));
    const auto got = d.read();
    for (uint64_t i = 0; i < count; i++)
      for (uint64_t column = 0; column <= n; column++)
        for (uint64_t row = 0; row < m; row++) {
          const uint64_t at = i * (n + 1) + column;
          double x = 0;
          for (uint64_t j = 0; j < k; j++) x += a.at(j, i * (m + 1) + row) * b.at(j, at);
          x = double(alpha) * x + double(beta) * c.at(row, at);
          if (column == n) x = d.at(row, at);  // stays
          EXPECT(std::fabs(got[at * uint64_t(d.ld) + row] - x) < d.tolerance() * 4);
        }
  }
}

TEST(results_of_a_batch_that_overlap, "cublasLt: the results of a batch overlap") {
  open_device();
  TestBatch a(CUDA_R_32F, 2, 8, 8), d(CUDA_R_32F, 2, 8, 8);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t description;
  OK(cublaslt.cublasLtCreate(&handle));
  OK(cublaslt.cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const int64_t stride = 16;
  OK(cublaslt.cublasLtMatrixLayoutSetAttribute(d.layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
  float one = 1, zero = 0;
  EXPECT_EQUAL(cublaslt.cublasLtMatmul(handle, description, &one, a.pointer(), a.layout, a.pointer(), a.layout, &zero,
                                       d.pointer(), d.layout, d.pointer(), d.layout, nullptr, nullptr, 0, stream), 7);
}

TEST(a_matrix_that_reaches_over_its_memory, "cublasLt: D has 252 bytes at byte 0 of an allocation of 200 bytes") {
  open_device();
  TestMatrix a(CUDA_R_32F, 8, 8, 0), b(CUDA_R_32F, 8, 8, 0);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t description;
  cublasLtMatrixLayout_t layout;
  OK(cublaslt.cublasLtCreate(&handle));
  OK(cublaslt.cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  OK(cublaslt.cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 7, 8, 8));
  CUdeviceptr d;
  OK(cuda.cuMemAlloc_v2(&d, 200));
  float one = 1, zero = 0;
  cublasLtMatrixLayout_t layout_a;
  OK(cublaslt.cublasLtMatrixLayoutCreate(&layout_a, CUDA_R_32F, 7, 8, 8));
  EXPECT_EQUAL(cublaslt.cublasLtMatmul(handle, description, &one, a.pointer(), layout_a, b.pointer(), b.layout, &zero,
                                       reinterpret_cast<void *>(d), layout, reinterpret_cast<void *>(d), layout, nullptr,
                                       nullptr, 0, stream), 7);
}

TEST(a_matrix_that_is_less_aligned_than_promised, "cublasLt: B is not aligned to the 256 bytes that were promised") {
  open_device();
  TestMatrix a(CUDA_R_32F, 8, 8, 0), b(CUDA_R_32F, 8, 8, 0), d(CUDA_R_32F, 8, 7, 0), narrow(CUDA_R_32F, 8, 7, 0);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t description;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t result;
  OK(cublaslt.cublasLtCreate(&handle));
  OK(cublaslt.cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  OK(cublaslt.cublasLtMatmulPreferenceCreate(&preference));
  int found = 0;
  OK(cublaslt.cublasLtMatmulAlgoGetHeuristic(handle, description, a.layout, narrow.layout, d.layout, d.layout, preference,
                                             1, &result, &found));
  float one = 1, zero = 0;
  EXPECT_EQUAL(cublaslt.cublasLtMatmul(handle, description, &one, a.pointer(), a.layout,
                                       reinterpret_cast<void *>(b.address + 16), narrow.layout, &zero, d.pointer(),
                                       d.layout, d.pointer(), d.layout, &result.algo, nullptr, 0, stream), 7);
}

TEST(matrices_that_do_not_fit, "op(A) is 8 × 8, op(B) 9 × 8") {
  open_device();
  TestMatrix a(CUDA_R_32F, 8, 8, 0), b(CUDA_R_32F, 9, 8, 0);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t description;
  OK(cublaslt.cublasLtCreate(&handle));
  OK(cublaslt.cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  float one = 1, zero = 0;
  EXPECT_EQUAL(cublaslt.cublasLtMatmul(handle, description, &one, a.pointer(), a.layout, b.pointer(), b.layout, &zero,
                                       a.pointer(), a.layout, a.pointer(), a.layout, nullptr, nullptr, 0, stream), 7);
}
