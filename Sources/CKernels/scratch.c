// Sizes of scratch and workspace that kernels need, the same for every instruction set.
#include "internal.h"

size_t mf_gemm_scratch(void) { return (size_t)2 << 20; }

/// Every piece is rounded up to a cache line, of which there are fewer than 32.
size_t mf_attention_scratch(mf_storage storage, int64_t time, int64_t head_size, bool gradient) {
  const int64_t rows = mf_round_up(time, MF_WIDEST_PANEL), wide = mf_round_up(head_size, MF_WIDEST_PANEL);
  const int64_t scores = MF_MOST_TILE_ROWS * MF_ATTENTION_BLOCK, strip = MF_MOST_TILE_ROWS * wide;
  const int64_t forward = 2 * rows + 2 * rows * wide + 2 * scores + 2 * strip;
  int64_t backward = 5 * rows + 5 * rows * wide + 3 * scores + MF_ATTENTION_KEYS * MF_ATTENTION_BLOCK;
  if (storage != MF_FP32) backward += 3 * rows * wide + 2 * strip;
  return (size_t)((gradient ? mf_max(forward, backward) : forward) + 32 * 16) * sizeof(float);
}

/// Behind the products' scratch: two matrices and three squares of the shorter side.
size_t mf_muon_scratch(mf_storage storage, int64_t rows, int64_t columns) {
  const int64_t n = mf_min(rows, columns);
  const int64_t elements = 2 * mf_round_up(rows * columns, 64) + 3 * mf_round_up(n * n, 64);
  return mf_gemm_scratch() + (size_t)elements * (storage == MF_FP32 ? sizeof(float) : sizeof(uint16_t));
}

size_t mf_row_scratch(int64_t width) { return (size_t)(2 * MF_ROW_BLOCKS * width) * sizeof(float); }

int64_t mf_head_loss_workspace(int64_t rows, int64_t width, int64_t vocabulary) {
  // A chunk's logits and states, and the list of rows that count.
  return mf_head_chunk_rows(rows, vocabulary) * (vocabulary + width) + rows;
}
