// The functions of the kernels' ptx.cuh, for the CPU: what the PTX manual says the instructions do. Included by ptx.cuh
// after it has defined `words4`.
//
// Fragments are read and written element by element, as the manual's formulas place them: groupID = lane / 4,
// threadID_in_group = lane % 4.
#pragma once

// MARK: Loads and stores of 16 aligned bytes

MF_CPU_QUIET words4 load_16(const void *p) {
  mf_cpu_touch(p, 16, MF_CPU_READ);
  words4 v;
  __builtin_memcpy(&v, p, 16);
  return v;
}

MF_CPU_QUIET void store_16(void *p, words4 v) {
  mf_cpu_touch(p, 16, MF_CPU_WRITE);
  __builtin_memcpy(p, &v, 16);
}

MF_CPU_QUIET void store_global_16(void *p, words4 v) { store_16(p, v); }

// MARK: Halves (cvt.rn)

inline uint16_t narrow_fp16(float x) {
  return x != x ? 0x7fff : __builtin_bit_cast(uint16_t, (_Float16)x);
}

inline float widen_fp16(uint16_t h) { return (float)__builtin_bit_cast(_Float16, h); }

inline uint16_t narrow_bf16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  return x != x ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float widen_bf16(uint16_t h) { return __builtin_bit_cast(float, (uint32_t)h << 16); }

inline uint32_t pack_fp16(float low, float high) { return (uint32_t)narrow_fp16(high) << 16 | narrow_fp16(low); }
inline uint32_t pack_bf16(float low, float high) { return (uint32_t)narrow_bf16(high) << 16 | narrow_bf16(low); }

/// ex2.approx.ftz
inline float fast_exp2(float x) {
  const float y = exp2f(fabsf(x) < 0x1p-126f ? 0.0f : x);
  return y < 0x1p-126f ? 0.0f : y;
}

inline uint32_t shared_address(const void *p) { return (uint32_t)((size_t)p - (size_t)mf_cpu_dynamic_shared()); }

// MARK: ldmatrix: lane 8m + r brings the address of row r of matrix m

template <int MATRICES, bool IS_TRANSPOSED>
struct mf_cpu_ldmatrix {
  const void *row;
  uint32_t *result;

  MF_CPU_QUIET static uint16_t element(void *const *lanes, int matrix, int row, int column) {
    uint16_t h;
    __builtin_memcpy(&h, (const char *)((mf_cpu_ldmatrix *)lanes[8 * matrix + row])->row + 2 * column, 2);
    return h;
  }

  MF_CPU_QUIET static void all(void *const *lanes, unsigned mask) {
    if (mask != 0xffffffffu) mf_cpu_trap("ldmatrix needs all lanes of the warp");
    for (int lane = 0; lane < 32; lane++) {
      const int row = lane / 4, column = lane % 4 * 2;
      for (int m = 0; m < MATRICES; m++) {
        const uint16_t low = IS_TRANSPOSED ? element(lanes, m, column, row) : element(lanes, m, row, column);
        const uint16_t high = IS_TRANSPOSED ? element(lanes, m, column + 1, row) : element(lanes, m, row, column + 1);
        ((mf_cpu_ldmatrix *)lanes[lane])->result[m] = (uint32_t)high << 16 | low;
      }
    }
  }
};

template <int MATRICES, bool IS_TRANSPOSED>
MF_CPU_QUIET void mf_cpu_load_matrices(uint32_t *result, const void *row, const char *file, int line) {
  // The other lanes' addresses are not used.
  if (mf_cpu_lane() < 8 * MATRICES) mf_cpu_touch(row, 16, MF_CPU_READ);
  mf_cpu_ldmatrix<MATRICES, IS_TRANSPOSED> mine{row, result};
  mf_cpu_warp(0xffffffffu, mf_cpu_ldmatrix<MATRICES, IS_TRANSPOSED>::all, &mine, {"ldmatrix", file, line});
}

inline void ldmatrix_x1(uint32_t (&r)[1], const void *row, MF_CPU_PLACE) {
  mf_cpu_load_matrices<1, false>(r, row, file, line);
}
inline void ldmatrix_x2(uint32_t (&r)[2], const void *row, MF_CPU_PLACE) {
  mf_cpu_load_matrices<2, false>(r, row, file, line);
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void *row, MF_CPU_PLACE) {
  mf_cpu_load_matrices<4, false>(r, row, file, line);
}
inline void ldmatrix_x1_trans(uint32_t (&r)[1], const void *row, MF_CPU_PLACE) {
  mf_cpu_load_matrices<1, true>(r, row, file, line);
}
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row, MF_CPU_PLACE) {
  mf_cpu_load_matrices<2, true>(r, row, file, line);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, MF_CPU_PLACE) {
  mf_cpu_load_matrices<4, true>(r, row, file, line);
}

// MARK: mma.sync of 16 × 8 floats: c += a·b, a of 16 × K halves, b of K × 8

/// What a lane brings. Products of halves are exact; they are summed in fp64 and rounded once: a real card rounds, and
/// orders its sums, in ways of its own.
template <int K, bool IS_BF16>
struct mf_cpu_mma {
  float *c;
  const uint32_t *a, *b;

  MF_CPU_QUIET static float half(const uint32_t *words, int i) {
    const uint16_t bits = (uint16_t)(words[i / 2] >> 16 * (i % 2));
    return IS_BF16 ? widen_bf16(bits) : widen_fp16(bits);
  }

  MF_CPU_QUIET static void all(void *const *lanes, unsigned mask) {
    if (mask != 0xffffffffu) mf_cpu_trap("mma.sync needs all lanes of the warp");
    float a[16][K], b[K][8];
    for (int lane = 0; lane < 32; lane++) {
      const auto *mine = (const mf_cpu_mma *)lanes[lane];
      const int group = lane / 4, in_group = lane % 4;
      for (int i = 0; i < K / 2; i++) {
        const int row = i / 2 % 2 == 0 ? group : group + 8, column = in_group * 2 + i % 2 + (i < 4 ? 0 : 8);
        a[row][column] = half(mine->a, i);
      }
      for (int i = 0; i < K / 4; i++) b[in_group * 2 + i % 2 + (i < 2 ? 0 : 8)][group] = half(mine->b, i);
    }
    for (int lane = 0; lane < 32; lane++) {
      float *c = ((const mf_cpu_mma *)lanes[lane])->c;
      for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + (i < 2 ? 0 : 8), column = lane % 4 * 2 + i % 2;
        double sum = c[i];
        for (int k = 0; k < K; k++) sum += (double)a[row][k] * b[k][column];
        c[i] = (float)sum;
      }
    }
  }
};

template <int K, bool IS_BF16>
MF_CPU_QUIET void mf_cpu_multiply(float *c, const uint32_t *a, const uint32_t *b, const char *file, int line) {
  mf_cpu_mma<K, IS_BF16> mine{c, a, b};
  mf_cpu_warp(0xffffffffu, mf_cpu_mma<K, IS_BF16>::all, &mine, {"mma.sync", file, line});
}

MF_CPU_QUIET void mma_m16n8k16_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, MF_CPU_PLACE) {
  const uint32_t b[2] = {b0, b1};
  mf_cpu_multiply<16, true>(c, a, b, file, line);
}
MF_CPU_QUIET void mma_m16n8k8_bf16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t b0, MF_CPU_PLACE) {
  const uint32_t a[2] = {a0, a1};
  mf_cpu_multiply<8, true>(c, a, &b0, file, line);
}
MF_CPU_QUIET void mma_m16n8k8_fp16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t b0, MF_CPU_PLACE) {
  const uint32_t a[2] = {a0, a1};
  mf_cpu_multiply<8, false>(c, a, &b0, file, line);
}
MF_CPU_QUIET void mma_m16n8k16_fp16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, MF_CPU_PLACE) {
#if __CUDA_ARCH__ >= 800
  const uint32_t b[2] = {b0, b1};
  mf_cpu_multiply<16, false>(c, a, b, file, line);
#else
  mma_m16n8k8_fp16(c, a[0], a[1], b0, file, line);
  mma_m16n8k8_fp16(c, a[2], a[3], b1, file, line);
#endif
}

// MARK: cp.async

inline void cp_async_16(void *shared, const void *global, bool valid) {
#if __CUDA_ARCH__ >= 800
  mf_cpu_copy_async(shared, global, 16, valid ? 16 : 0);
#else
  store_16(shared, valid ? load_16(global) : words4{0, 0, 0, 0});
#endif
}
inline void cp_async_commit() { mf_cpu_copy_commit(); }
template <int N>
inline void cp_async_wait() {
  mf_cpu_copy_wait(N);
}
