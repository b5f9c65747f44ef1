// Sizes of scratch and workspace that kernels need, the same for every instruction set.
#include "internal.h"

size_t mf_gemm_scratch(void) { return (size_t)2 << 20; }

size_t mf_attention_scratch(int64_t time, int64_t head_size, int64_t group, bool gradient) {
  (void)time, (void)head_size, (void)group, (void)gradient;
  return (size_t)1 << 20;
}

size_t mf_row_scratch(int64_t width) { return (size_t)(2 * MF_ROW_BLOCKS * width) * sizeof(float); }

int64_t mf_head_loss_workspace(int64_t rows, int64_t width, int64_t vocabulary) {
  (void)width;
  return mf_head_chunk_rows(rows, vocabulary) * vocabulary;
}
