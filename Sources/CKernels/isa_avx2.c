// Kernels for AVX2 with fused multiply-add.
#include "internal.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define MF_WIDTH 8
#define MF_FMA 1
#include "kernels/all.h"

const mf_kernels mf_kernels_avx2 = MF_KERNELS(MF_ISA_AVX2, "avx2");
#pragma clang attribute pop
#endif
