// What we call of NVIDIA's libraries: declarations of our own, after the public manuals of the CUDA driver API, NVRTC and
// cuBLASLt, and tables of function pointers, as the libraries are opened at run time: one program for machines with and
// without a GPU.
#ifndef MAYFLY_CUDADRIVER_H
#define MAYFLY_CUDADRIVER_H

#include <stddef.h>
#include <stdint.h>

// MARK: The driver (libcuda)

typedef int CUresult;                              // 0: success
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct { char bytes[16]; } CUuuid;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_NOT_READY = 600,
};

/// Of cuDeviceGetAttribute.
enum {
  CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
};

/// Of cuFuncSetAttribute.
enum { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8 };

enum {
  CU_STREAM_NON_BLOCKING = 1,
  CU_EVENT_DEFAULT = 0,
  CU_EVENT_DISABLE_TIMING = 2,
  CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
};

/// F(name, parameters) for each function; the names are the ones that the library exports.
#define MF_CUDA_FUNCTIONS(F)                                                                                       \
  F(cuInit, (unsigned flags))                                                                                      \
  F(cuDriverGetVersion, (int *version))                                                                            \
  F(cuGetErrorName, (CUresult error, const char **text))                                                           \
  F(cuGetErrorString, (CUresult error, const char **text))                                                         \
  F(cuDeviceGetCount, (int *count))                                                                                \
  F(cuDeviceGet, (CUdevice *device, int ordinal))                                                                  \
  F(cuDeviceGetName, (char *name, int length, CUdevice device))                                                    \
  F(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device))                                            \
  F(cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device))                                                         \
  F(cuDeviceGetUuid_v2, (CUuuid *uuid, CUdevice device))                                                           \
  F(cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device))                                               \
  F(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                                               \
  F(cuCtxSetCurrent, (CUcontext context))                                                                          \
  F(cuCtxSynchronize, (void))                                                                                      \
  F(cuMemGetInfo_v2, (size_t *available, size_t *total))                                                           \
  F(cuMemAlloc_v2, (CUdeviceptr *address, size_t bytes))                                                           \
  F(cuMemFree_v2, (CUdeviceptr address))                                                                           \
  F(cuMemAllocHost_v2, (void **address, size_t bytes))                                                             \
  F(cuMemFreeHost, (void *address))                                                                                \
  F(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                       \
  F(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream))                             \
  F(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                       \
  F(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t count, CUstream stream))                         \
  F(cuStreamCreate, (CUstream *stream, unsigned flags))                                                            \
  F(cuStreamDestroy_v2, (CUstream stream))                                                                         \
  F(cuStreamSynchronize, (CUstream stream))                                                                        \
  F(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                                           \
  F(cuStreamBeginCapture_v2, (CUstream stream, int mode))                                                          \
  F(cuStreamEndCapture, (CUstream stream, CUgraph *graph))                                                         \
  F(cuEventCreate, (CUevent *event, unsigned flags))                                                               \
  F(cuEventDestroy_v2, (CUevent event))                                                                            \
  F(cuEventRecord, (CUevent event, CUstream stream))                                                               \
  F(cuEventQuery, (CUevent event))                                                                                 \
  F(cuEventSynchronize, (CUevent event))                                                                           \
  F(cuEventElapsedTime, (float *milliseconds, CUevent from, CUevent to))                                           \
  F(cuModuleLoadData, (CUmodule *module, const void *image))                                                       \
  F(cuModuleUnload, (CUmodule module))                                                                             \
  F(cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name))                                \
  F(cuFuncSetAttribute, (CUfunction function, int attribute, int value))                                           \
  F(cuLaunchKernel, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,     \
                     unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **arguments, \
                     void **extra))                                                                                \
  F(cuGraphInstantiateWithFlags, (CUgraphExec *executable, CUgraph graph, uint64_t flags))                         \
  F(cuGraphLaunch, (CUgraphExec executable, CUstream stream))                                                      \
  F(cuGraphExecDestroy, (CUgraphExec executable))                                                                  \
  F(cuGraphDestroy, (CUgraph graph))

// MARK: The run-time compiler (libnvrtc)

typedef int nvrtcResult;                           // 0: success
typedef struct _nvrtcProgram *nvrtcProgram;

#define MF_NVRTC_FUNCTIONS(F)                                                                                      \
  F(nvrtcVersion, (int *major, int *minor))                                                                        \
  F(nvrtcCreateProgram, (nvrtcProgram *program, const char *source, const char *name, int header_count,            \
                         const char *const *headers, const char *const *header_names))                             \
  F(nvrtcCompileProgram, (nvrtcProgram program, int option_count, const char *const *options))                     \
  F(nvrtcGetProgramLogSize, (nvrtcProgram program, size_t *bytes))                                                 \
  F(nvrtcGetProgramLog, (nvrtcProgram program, char *log))                                                         \
  F(nvrtcGetCUBINSize, (nvrtcProgram program, size_t *bytes))                                                      \
  F(nvrtcGetCUBIN, (nvrtcProgram program, char *image))                                                            \
  F(nvrtcDestroyProgram, (nvrtcProgram *program))

// MARK: Matrix products (libcublasLt)

typedef int cublasStatus_t;                        // 0: success
typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct cublasLtMatmulDescOpaque *cublasLtMatmulDesc_t;
typedef struct cublasLtMatrixLayoutOpaque *cublasLtMatrixLayout_t;
typedef struct cublasLtMatmulPreferenceOpaque *cublasLtMatmulPreference_t;
typedef struct { uint64_t data[8]; } cublasLtMatmulAlgo_t;
typedef struct {
  cublasLtMatmulAlgo_t algo;
  size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
} cublasLtMatmulHeuristicResult_t;

/// Of cublasLtGetProperty.
enum { MAJOR_VERSION = 0, MINOR_VERSION = 1, PATCH_LEVEL = 2 };

enum { CUBLAS_COMPUTE_32F = 68 };
enum { CUDA_R_32F = 0, CUDA_R_16F = 2, CUDA_R_16BF = 14 };
enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };

/// Of cublasLtMatmulDescSetAttribute.
enum {
  CUBLASLT_MATMUL_DESC_TRANSA = 3,
  CUBLASLT_MATMUL_DESC_TRANSB = 4,
  CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
  CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER = 11,
  CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD = 12,
  CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26,
};

/// Of cublasLtMatrixLayoutSetAttribute: matrices that lie as many elements apart.
enum {
  CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5,
  CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6,
};

enum {
  CUBLASLT_EPILOGUE_DEFAULT = 1,
  CUBLASLT_EPILOGUE_BIAS = 4,
  CUBLASLT_EPILOGUE_GELU_AUX_BIAS = 164,
  CUBLASLT_EPILOGUE_DGELU = 192,
};

/// Of cublasLtMatmulPreferenceSetAttribute.
enum {
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
  CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8,
};

#define MF_CUBLASLT_FUNCTIONS(F)                                                                                   \
  F(cublasLtGetProperty, (int property, int *value))                                                               \
  F(cublasLtCreate, (cublasLtHandle_t *handle))                                                                    \
  F(cublasLtDestroy, (cublasLtHandle_t handle))                                                                    \
  F(cublasLtMatmulDescCreate, (cublasLtMatmulDesc_t *description, int compute_type, int scale_type))               \
  F(cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t description))                                                 \
  F(cublasLtMatmulDescSetAttribute,                                                                                \
    (cublasLtMatmulDesc_t description, int attribute, const void *value, size_t bytes))                            \
  F(cublasLtMatrixLayoutCreate,                                                                                    \
    (cublasLtMatrixLayout_t *layout, int type, uint64_t rows, uint64_t columns, int64_t leading_dimension))        \
  F(cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout))                                                  \
  F(cublasLtMatrixLayoutSetAttribute,                                                                              \
    (cublasLtMatrixLayout_t layout, int attribute, const void *value, size_t bytes))                               \
  F(cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t *preference))                                      \
  F(cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference))                                      \
  F(cublasLtMatmulPreferenceSetAttribute,                                                                          \
    (cublasLtMatmulPreference_t preference, int attribute, const void *value, size_t bytes))                       \
  F(cublasLtMatmulAlgoGetHeuristic,                                                                                \
    (cublasLtHandle_t handle, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, \
     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int asked,         \
     cublasLtMatmulHeuristicResult_t *results, int *found))                                                        \
  F(cublasLtMatmul,                                                                                                \
    (cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void *alpha, const void *a,                  \
     cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b, const void *beta,            \
     const void *c, cublasLtMatrixLayout_t layout_c, void *d, cublasLtMatrixLayout_t layout_d,                     \
     const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes, CUstream stream))

// MARK: Tables

#define MF_FIELD(name, parameters) int (*name) parameters;
typedef struct { MF_CUDA_FUNCTIONS(MF_FIELD) } mf_cuda;
typedef struct { MF_NVRTC_FUNCTIONS(MF_FIELD) } mf_nvrtc;
typedef struct { MF_CUBLASLT_FUNCTIONS(MF_FIELD) } mf_cublaslt;
#undef MF_FIELD

/// Fill a table from an open library (of dlopen). Return NULL, or the name of the first function that is missing.
const char *mf_cuda_load(void *library, mf_cuda *table);
const char *mf_nvrtc_load(void *library, mf_nvrtc *table);
const char *mf_cublaslt_load(void *library, mf_cublaslt *table);

#endif
