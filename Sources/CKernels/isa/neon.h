// Kernels for 64-bit ARM.
#include "../internal.h"

#if defined(__aarch64__)
#define MF_WIDTH 4
#define MF_FMA 1
#define MF_FP16_INSTRUCTIONS 1
#include "../kernels/all.h"

MF_KERNELS(MF_ISA_NEON, neon)
#endif
