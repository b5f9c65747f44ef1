// Kernels for any processor: four lanes, which every 64-bit one has (SSE2, NEON), and no fused multiply-add assumed.
#include "internal.h"

#define MF_WIDTH 4
#define MF_FMA 0
#include "kernels/all.h"

const mf_kernels mf_kernels_plain = MF_KERNELS(MF_ISA_PLAIN, "plain");
