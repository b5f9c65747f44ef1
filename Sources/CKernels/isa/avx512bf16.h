// Kernels for AVX-512 with its instructions for bf16.
#include "../internal.h"

#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#define MF_WIDTH 16
#define MF_FMA 1
#define MF_BF16_INSTRUCTIONS 1
#include "../kernels/all.h"

MF_KERNELS(MF_ISA_AVX512_BF16, avx512bf16)
#pragma clang attribute pop
#endif
