#include "CUDADriver.h"

#include <dlfcn.h>

// dlsym gives a void pointer for a function, which ISO C doesn't convert: POSIX does.
#define LOAD(name, parameters)                                                                                     \
  *(void **)&table->name = dlsym(library, #name);                                                                  \
  if (table->name == NULL) return #name;

const char *mf_cuda_load(void *library, mf_cuda *table) {
  MF_CUDA_FUNCTIONS(LOAD)
  return NULL;
}

const char *mf_nvrtc_load(void *library, mf_nvrtc *table) {
  MF_NVRTC_FUNCTIONS(LOAD)
  return NULL;
}

const char *mf_cublaslt_load(void *library, mf_cublaslt *table) {
  MF_CUBLASLT_FUNCTIONS(LOAD)
  return NULL;
}
