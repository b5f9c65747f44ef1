// The texts of the CUDA kernels, which are compiled for the GPU at hand when they are first needed.
#ifndef MAYFLY_CCUDA_H
#define MAYFLY_CCUDA_H

#include "KernelArguments.h"

#include <stddef.h>

/// What NVRTC gets beside --gpu-architecture=… and -DMF_STORAGE=… (0 fp32, 1 bf16, 2 fp16).
#define MF_KERNEL_OPTIONS {"--std=c++17", "--fmad=false"}

typedef struct {
  const char *name;                                // "norm.cu"
  const char *text;                                // ends with a zero byte
  size_t bytes;                                    // without that
} mf_kernel_text;

/// The files to compile, each by itself, and the headers that all of them may include, by name.
extern const mf_kernel_text mf_kernel_files[];
extern const size_t mf_kernel_file_count;
extern const mf_kernel_text mf_kernel_headers[];
extern const size_t mf_kernel_header_count;

extern const char *const mf_kernel_options[];
extern const size_t mf_kernel_option_count;

#endif
