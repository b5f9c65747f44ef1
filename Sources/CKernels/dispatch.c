// Chooses the kernels by what the processor can do, at run time: one binary for all machines.
#include "internal.h"

#define MF_CHOOSE(isa, storage)                                                                                    \
  ((storage) == MF_BF16 ? &mf_kernels_##isa##_bf16 : (storage) == MF_FP16 ? &mf_kernels_##isa##_fp16 : &mf_kernels_##isa##_fp32)

#if defined(__x86_64__)
static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
         && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const mf_kernels *mf_kernels_for(mf_isa isa, mf_storage storage) {
  switch (isa) {
  case MF_ISA_PLAIN:
    return MF_CHOOSE(plain, storage);
  case MF_ISA_NEON:
#if defined(__aarch64__)
    return MF_CHOOSE(neon, storage);
#else
    return NULL;
#endif
#if defined(__x86_64__)
  case MF_ISA_AVX2:
    return has_avx2() ? MF_CHOOSE(avx2, storage) : NULL;
  case MF_ISA_AVX512:
    return has_avx512() ? MF_CHOOSE(avx512, storage) : NULL;
  case MF_ISA_AVX512_BF16:
    if (!has_avx512() || !__builtin_cpu_supports("avx512bf16")) return NULL;
    return storage == MF_BF16 ? &mf_kernels_avx512bf16_bf16 : MF_CHOOSE(avx512, storage);
#else
  case MF_ISA_AVX2:
  case MF_ISA_AVX512:
  case MF_ISA_AVX512_BF16:
    return NULL;
#endif
  }
  return NULL;
}

const mf_kernels *mf_kernels_best(mf_storage storage) {
  static const mf_isa fastest_first[] = {MF_ISA_AVX512_BF16, MF_ISA_AVX512, MF_ISA_AVX2, MF_ISA_NEON};
  for (size_t i = 0; i < sizeof fastest_first / sizeof fastest_first[0]; i++) {
    const mf_kernels *kernels = mf_kernels_for(fastest_first[i], storage);
    if (kernels != NULL) return kernels;
  }
  return mf_kernels_for(MF_ISA_PLAIN, storage);
}
