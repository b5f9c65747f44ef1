// What every file of CKernels shares: system headers (which must come before any target attribute) and the tables.
#ifndef MAYFLY_INTERNAL_H
#define MAYFLY_INTERNAL_H

#include "CKernels.h"

#include <math.h>
#include <stdalign.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MF_INLINE [[maybe_unused]] static inline __attribute__((always_inline))
#define MF_UNUSED [[maybe_unused]]

/// Longest row blocks' count of a reduction over rows: partial sums of block r live in worker 0's scratch at r·width.
enum { MF_ROW_BLOCKS = 32 };

/// Attention's blocks: keys (or queries) whose scores are held at once, and keys whose share of dq is added at once.
enum { MF_ATTENTION_BLOCK = 256, MF_ATTENTION_KEYS = 112 };
/// Widest panel of packed operands and most rows of a tile, of any instruction set.
enum { MF_WIDEST_PANEL = 32, MF_MOST_TILE_ROWS = 14 };

MF_INLINE int64_t mf_min(int64_t a, int64_t b) { return a < b ? a : b; }
MF_INLINE int64_t mf_max(int64_t a, int64_t b) { return a > b ? a : b; }
MF_INLINE int64_t mf_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
MF_INLINE int64_t mf_round_up(int64_t a, int64_t b) { return mf_ceil_div(a, b) * b; }

/// Rows that one task takes so that it handles about `elements` elements of rows of `width`.
MF_INLINE int64_t mf_rows_per_task(int64_t width, int64_t elements) { return mf_max(1, elements / mf_max(1, width)); }

/// Rows of logits that the head holds at once: 32 MiB, or 256 rows where the vocabulary is large.
MF_INLINE int64_t mf_head_chunk_rows(int64_t rows, int64_t vocabulary) {
  const int64_t most = mf_max(256, ((int64_t)8 << 20) / mf_max(1, vocabulary));
  return mf_ceil_div(rows, mf_max(1, mf_ceil_div(rows, most)));
}

/// The table of an instruction set and a storage type's suffix.
#define MF_TABLE_(isa, suffix) mf_kernels_##isa##suffix
#define MF_TABLE(isa, suffix) MF_TABLE_(isa, suffix)
#define MF_DECLARE(isa) extern const mf_kernels mf_kernels_##isa##_fp32, mf_kernels_##isa##_bf16, mf_kernels_##isa##_fp16

MF_DECLARE(plain);
#if defined(__aarch64__)
MF_DECLARE(neon);
#endif
#if defined(__x86_64__)
MF_DECLARE(avx2);
MF_DECLARE(avx512);
extern const mf_kernels mf_kernels_avx512bf16_bf16;
#endif

#endif
