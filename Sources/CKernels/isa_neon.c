// Kernels for 64-bit ARM.
#include "internal.h"

#if defined(__aarch64__)
#define MF_WIDTH 4
#define MF_FMA 1
#include "kernels/all.h"

const mf_kernels mf_kernels_neon = MF_KERNELS(MF_ISA_NEON, "neon");
#endif
