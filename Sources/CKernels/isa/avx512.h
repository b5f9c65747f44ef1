// Kernels for AVX-512.
#include "../internal.h"

#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#define MF_WIDTH 16
#define MF_FMA 1
#define MF_FP16_INSTRUCTIONS 1
#include "../kernels/all.h"

MF_KERNELS(MF_ISA_AVX512, avx512)
#pragma clang attribute pop
#endif
