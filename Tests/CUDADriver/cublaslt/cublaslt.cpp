// cuBLASLt's stand-in: the calls. It refuses what the real one does not document, and says why on stderr.
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

#include "driver.h"
#include "memory.h"
#include "product.h"
#include "stream.h"

using namespace driver;

namespace {

enum {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};

int refuse(int status, const std::string &why) {
  std::fprintf(stderr, "CUDA driver for tests: cublasLt: %s\n", why.c_str());
  return status;
}

/// An algorithm that the heuristic gave is marked; the second splits k and needs a workspace. Alignments that were promised
/// come with it.
constexpr uint64_t algorithm_mark = 0x6d6179666c79;
constexpr size_t workspace_of_second = 1 << 16;

}  // namespace

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque {
  int transposes_a = CUBLAS_OP_N, transposes_b = CUBLAS_OP_N, epilogue = CUBLASLT_EPILOGUE_DEFAULT, bias_type = -1;
  void *bias = nullptr, *auxiliary = nullptr;
  int64_t auxiliary_leading_dimension = 0;
};

struct cublasLtMatrixLayoutOpaque {
  Matrix matrix;
};

struct cublasLtMatmulPreferenceOpaque {
  size_t workspace_bytes = 0;
  uint32_t reduction_schemes = ~0u, alignments[4] = {256, 256, 256, 256};
};

namespace {

using Description = cublasLtMatmulDesc_t;

bool has_bias(int epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}
bool has_auxiliary(int epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || epilogue == CUBLASLT_EPILOGUE_DGELU;
}

/// Whether the parts fit together; fills `product` but for α, β and the algorithm.
int assemble(Description description, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
             cublasLtMatrixLayout_t d, Product &product) {
  if (description == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "a description or layout is missing");
  product = {a->matrix,
             b->matrix,
             c->matrix,
             d->matrix,
             description->transposes_a == CUBLAS_OP_T,
             description->transposes_b == CUBLAS_OP_T,
             1,
             0,
             description->epilogue,
             description->bias_type < 0 ? d->matrix.type : description->bias_type,
             description->auxiliary_leading_dimension,
             false};
  const Matrix &A = product.a, &B = product.b, &C = product.c, &D = product.d;
  const uint64_t rows_of_a = product.transposes_a ? A.columns : A.rows;
  const uint64_t rows_of_b = product.transposes_b ? B.columns : B.rows, columns_of_b = product.transposes_b ? B.rows : B.columns;
  if (rows_of_a != product.m() || rows_of_b != product.k() || columns_of_b != product.n() || C.rows != D.rows ||
      C.columns != D.columns)
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "op(A) is " + std::to_string(rows_of_a) + " × " + std::to_string(product.k()) + ", op(B) " +
                      std::to_string(rows_of_b) + " × " + std::to_string(columns_of_b) + ", C " + std::to_string(C.rows) +
                      " × " + std::to_string(C.columns) + ", D " + std::to_string(D.rows) + " × " +
                      std::to_string(D.columns) + ": they do not fit");
  if (A.type != B.type || C.type != D.type || (D.type != A.type && D.type != CUDA_R_32F))
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "A and B must have one type, C and D that one or both fp32");
  if (has_bias(product.epilogue) && product.bias_type != D.type && product.bias_type != A.type)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "the bias must have the type of D or of A");
  if (A.count != D.count || B.count != D.count || C.count != D.count)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "batches of " + std::to_string(A.count) + ", " + std::to_string(B.count) +
                                                   ", " + std::to_string(C.count) + " and " + std::to_string(D.count) +
                                                   " matrices");
  if (D.count > 1 && D.stride < int64_t(D.columns) * D.leading_dimension)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "the results of a batch overlap");
  if (D.count > 1 && product.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "epilogues of batches are not there");
  if (has_auxiliary(product.epilogue) && product.auxiliary_leading_dimension < int64_t(D.rows))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "the leading dimension of what goes into GELU is less than its rows");
  return CUBLAS_STATUS_SUCCESS;
}

int check_memory(const char *what, const void *p, size_t bytes, size_t alignment) {
  const size_t address = reinterpret_cast<size_t>(p);
  const Memory &memory = Memory::shared();
  if (!memory.holds(address, bytes))
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  std::string(what) + " has " + std::to_string(bytes) + " bytes " +
                      (memory.contains(address) ? memory.describe(address) : "outside of the device's memory"));
  if (address % alignment != 0)
    return refuse(CUBLAS_STATUS_INVALID_VALUE, std::string(what) + " begins between two elements");
  return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
int set(T &field, const void *value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(T))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute has " + std::to_string(sizeof(T)) + " bytes, not " +
                                                   std::to_string(bytes));
  std::memcpy(&field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

int cublasLtGetProperty(int property, int *value) {
  if (property < MAJOR_VERSION || property > PATCH_LEVEL || value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *value = property == MAJOR_VERSION ? 12 : 0;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtCreate(cublasLtHandle_t *handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *description, int compute_type, int scale_type) {
  if (compute_type != CUBLAS_COMPUTE_32F || scale_type != CUDA_R_32F)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "only sums and factors in fp32 are there");
  *description = new cublasLtMatmulDescOpaque;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description, int attribute, const void *value, size_t bytes) {
  if (description == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(description->transposes_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(description->transposes_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(description->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(description->bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return set(description->auxiliary, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return set(description->auxiliary_leading_dimension, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: {
      int epilogue = 0;
      if (const int status = set(epilogue, value, bytes); status != CUBLAS_STATUS_SUCCESS) return status;
      for (int known : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                        CUBLASLT_EPILOGUE_DGELU})
        if (epilogue == known) {
          description->epilogue = epilogue;
          return CUBLAS_STATUS_SUCCESS;
        }
      return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "epilogue " + std::to_string(epilogue) + " is not there");
    }
    default: return refuse(CUBLAS_STATUS_INVALID_VALUE, "attribute " + std::to_string(attribute) + " is not there");
  }
}

int cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, int type, uint64_t rows, uint64_t columns,
                               int64_t leading_dimension) {
  if (type != CUDA_R_32F && type != CUDA_R_16F && type != CUDA_R_16BF)
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a matrix of type " + std::to_string(type));
  if (rows == 0 || columns == 0 || leading_dimension < int64_t(rows))
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "a matrix without elements, or a leading dimension less than its rows");
  *layout = new cublasLtMatrixLayoutOpaque{{type, rows, columns, leading_dimension}};
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, int attribute, const void *value, size_t bytes) {
  if (layout == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: {
      int32_t count = 0;
      if (const int status = set(count, value, bytes); status != CUBLAS_STATUS_SUCCESS) return status;
      if (count < 1) return refuse(CUBLAS_STATUS_INVALID_VALUE, "a batch of " + std::to_string(count) + " matrices");
      layout->matrix.count = count;
      return CUBLAS_STATUS_SUCCESS;
    }
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: {
      int64_t stride = 0;
      if (const int status = set(stride, value, bytes); status != CUBLAS_STATUS_SUCCESS) return status;
      if (stride < 0) return refuse(CUBLAS_STATUS_INVALID_VALUE, "matrices of a batch that go backwards");
      layout->matrix.stride = stride;
      return CUBLAS_STATUS_SUCCESS;
    }
    default: return refuse(CUBLAS_STATUS_INVALID_VALUE, "a layout's attribute " + std::to_string(attribute) + " is not there");
  }
}

int cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
  *preference = new cublasLtMatmulPreferenceOpaque;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, int attribute, const void *value,
                                         size_t bytes) {
  if (preference == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return set(preference->workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return set(preference->reduction_schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return set(preference->alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
    default: return refuse(CUBLAS_STATUS_INVALID_VALUE, "preference " + std::to_string(attribute) + " is not there");
  }
}

int cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
                                   cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                   cublasLtMatmulPreference_t preference, int asked,
                                   cublasLtMatmulHeuristicResult_t *results, int *found) {
  *found = 0;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (preference == nullptr || asked < 1) return CUBLAS_STATUS_INVALID_VALUE;
  Product product;
  if (const int status = assemble(description, a, b, c, d, product); status != CUBLAS_STATUS_SUCCESS) return status;
  const bool may_split = preference->reduction_schemes != 0 && preference->workspace_bytes >= workspace_of_second;
  for (int i = 0; i < asked && i < (may_split ? 2 : 1); i++) {
    results[i] = {};
    results[i].algo.data[0] = algorithm_mark;
    results[i].algo.data[1] = uint64_t(i);
    for (int matrix = 0; matrix < 4; matrix++)
      reinterpret_cast<uint32_t *>(results[i].algo.data + 2)[matrix] = preference->alignments[matrix];
    results[i].workspaceSize = i == 0 ? 0 : workspace_of_second;
    results[i].wavesCount = 1;
    *found = i + 1;
  }
  return CUBLAS_STATUS_SUCCESS;
}

int cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void *alpha, const void *a,
                   cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b, const void *beta,
                   const void *c, cublasLtMatrixLayout_t layout_c, void *d, cublasLtMatrixLayout_t layout_d,
                   const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes, CUstream handle_of_stream) {
  std::lock_guard guard(lock());
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (context_error != CUDA_SUCCESS) return CUBLAS_STATUS_EXECUTION_FAILED;
  CUstream_st *stream = existing(handle_of_stream);
  if (stream == nullptr || alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Product product;
  if (const int status = assemble(description, layout_a, layout_b, layout_c, layout_d, product);
      status != CUBLAS_STATUS_SUCCESS)
    return status;
  // Host pointers, read now.
  std::memcpy(&product.alpha, alpha, sizeof(float));
  std::memcpy(&product.beta, beta, sizeof(float));
  if (algorithm != nullptr) {
    if (algorithm->data[0] != algorithm_mark)
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "the algorithm is none that the heuristic gave");
    product.splits = algorithm->data[1] == 1;
    if (product.splits && (workspace_bytes < workspace_of_second || check_memory("the workspace", workspace, workspace_bytes, 16)))
      return refuse(CUBLAS_STATUS_INVALID_VALUE, "the algorithm's workspace is missing");
  }

  const size_t of_a = product.a.element_bytes(), of_d = product.d.element_bytes();
  const size_t of_bias = product.bias_type == CUDA_R_32F ? 4 : 2;
  int status = check_memory("A", a, product.a.bytes(), of_a);
  if (status == 0) status = check_memory("B", b, product.b.bytes(), of_a);
  if (status == 0 && product.beta != 0) status = check_memory("C", c, product.c.bytes(), of_d);
  if (status == 0) status = check_memory("D", d, product.d.bytes(), of_d);
  void *const bias = description->bias, *const auxiliary = description->auxiliary;
  if (status == 0 && has_bias(product.epilogue)) status = check_memory("the bias", bias, product.m() * of_bias, of_bias);
  if (status == 0 && has_auxiliary(product.epilogue)) {
    const Matrix matrix{product.d.type, product.m(), product.n(), product.auxiliary_leading_dimension};
    status = check_memory("what goes into GELU", auxiliary, matrix.bytes(), of_d);
  }
  if (status != 0) return status;
  if (algorithm != nullptr) {
    const void *const matrices[] = {a, b, product.beta != 0 ? c : d, d};
    const Matrix *const layouts[] = {&product.a, &product.b, &product.c, &product.d};
    for (int i = 0; i < 4; i++) {
      const uint32_t promised = reinterpret_cast<const uint32_t *>(algorithm->data + 2)[i];
      const size_t stride = layouts[i]->count > 1 ? size_t(layouts[i]->stride) * layouts[i]->element_bytes() : 0;
      if (promised > 1 && (reinterpret_cast<size_t>(matrices[i]) % promised != 0 || stride % promised != 0))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, std::string(1, "ABCD"[i]) + " is not aligned to the " +
                                                       std::to_string(promised) + " bytes that were promised");
    }
  }

  return enqueue(stream, [=]() -> CUresult {
           if (const CUresult error = begin_launch(); error != CUDA_SUCCESS) return error;
           product.run(a, b, c, d, bias, auxiliary);
           return CUDA_SUCCESS;
         }) == CUDA_SUCCESS
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}
}
