// Kernels for any processor: four lanes, which every 64-bit one has (SSE2, NEON), and no fused multiply-add assumed.
// A file per storage type includes this; so with the other instruction sets.
#include "../internal.h"

#define MF_WIDTH 4
#define MF_FMA 0
#include "../kernels/all.h"

MF_KERNELS(MF_ISA_PLAIN, plain)
