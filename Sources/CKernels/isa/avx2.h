// Kernels for AVX2 with fused multiply-add and conversions of fp16.
#include "../internal.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define MF_WIDTH 8
#define MF_FMA 1
#define MF_FP16_INSTRUCTIONS 1
#include "../kernels/all.h"

MF_KERNELS(MF_ISA_AVX2, avx2)
#pragma clang attribute pop
#endif
