// What Swift sees of CUDA: the libraries' functions, the arguments of the kernels, and their texts, which are compiled for
// the GPU at hand when they are first needed.
#ifndef MAYFLY_CCUDA_H
#define MAYFLY_CCUDA_H

#include "CUDADriver.h"
#include "KernelArguments.h"

#include <stddef.h>

/// What NVRTC gets beside --gpu-architecture=… and -DMF_STORAGE=… (0 fp32, 1 bf16, 2 fp16). -DMF_SIZE=… leaves only
/// one of the kernels that there are several sizes of: heads' (attention.cu, attention_tensor.cu), rows' (norm.cu).
#define MF_KERNEL_OPTIONS {"--std=c++17", "--fmad=false"}

typedef struct {
  const char *name;                                // "norm.cu"
  const char *text;                                // ends with a zero byte
  size_t bytes;                                    // without that
} mf_kernel_text;

typedef struct {
  const mf_kernel_text *items;
  size_t count;
} mf_kernel_texts;

/// The files to compile, each by itself.
mf_kernel_texts mf_kernel_files(void);
/// What all of them may include, by name.
mf_kernel_texts mf_kernel_headers(void);

typedef struct {
  const char *const *items;
  size_t count;
} mf_kernel_option_list;

/// MF_KERNEL_OPTIONS.
mf_kernel_option_list mf_kernel_options(void);

#endif
