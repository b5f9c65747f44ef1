// Chooses the kernels by what the processor can do, at run time: one binary for all machines.
#include "internal.h"

const mf_kernels *mf_kernels_for(mf_isa isa) {
  switch (isa) {
  case MF_ISA_PLAIN:
    return &mf_kernels_plain;
  case MF_ISA_NEON:
#if defined(__aarch64__)
    return &mf_kernels_neon;
#else
    return NULL;
#endif
  case MF_ISA_AVX2:
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &mf_kernels_avx2;
#endif
    return NULL;
  case MF_ISA_AVX512:
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
      return &mf_kernels_avx512;
#endif
    return NULL;
  }
  return NULL;
}

const mf_kernels *mf_kernels_best(void) {
  static const mf_isa fastest_first[] = {MF_ISA_AVX512, MF_ISA_AVX2, MF_ISA_NEON};
  for (size_t i = 0; i < sizeof fastest_first / sizeof fastest_first[0]; i++) {
    const mf_kernels *kernels = mf_kernels_for(fastest_first[i]);
    if (kernels != NULL) return kernels;
  }
  return &mf_kernels_plain;
}
