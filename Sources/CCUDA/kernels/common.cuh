// What all kernels share: types, storage, loads and stores of eight elements, sums over warps and blocks.
//
// Letters: B batch, T time, C width, H query heads, K key/value heads, D head size, V vocabulary, N = B·T rows.
// Products and sums are never contracted behind our back (--fmad=false): multiply-adds are written as fmaf, so that a
// value computed in two kernels by the same function has the same bits.
#ifndef MF_COMMON_CUH
#define MF_COMMON_CUH

#define MF_KERNEL 1
#define MF_DEVICE __device__ __forceinline__

// For the CPU these come from the driver for tests.
#ifndef MF_ON_CPU
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#endif

/// A block's dynamic shared memory, as many bytes as its launch asks for.
extern __shared__ __align__(128) unsigned char mf_shared[];

#include "KernelArguments.h"
#include "ptx.cuh"

constexpr uint32_t ALL_LANES = 0xffffffffu;

MF_DEVICE float as_float(uint32_t bits) {
  union {
    uint32_t u;
    float f;
  } both = {bits};
  return both.f;
}

MF_DEVICE uint32_t as_bits(float x) {
  union {
    float f;
    uint32_t u;
  } both = {x};
  return both.u;
}

#define MF_INFINITY as_float(0x7f800000u)

template <typename T>
MF_DEVICE T least(T a, T b) {
  return a < b ? a : b;
}

template <typename T>
MF_DEVICE T most(T a, T b) {
  return a > b ? a : b;
}

/// No infinity, not NaN.
MF_DEVICE bool is_finite(double x) { return x - x == 0; }

// MARK: Storage of activations, their gradients and the weights of products: fp32 (0), bf16 (1) or fp16 (2)

#if MF_STORAGE == 0

typedef float act;
MF_DEVICE float widen(act x) { return x; }
MF_DEVICE act narrow(float x) { return x; }

#else

/// A half's bits; a type of its own, so that nobody computes with them.
struct act {
  uint16_t bits;
};

#if MF_STORAGE == 1
MF_DEVICE float widen(act h) { return as_float(uint32_t(h.bits) << 16); }
MF_DEVICE act narrow(float x) { return act{narrow_bf16(x)}; }
MF_DEVICE uint32_t pack_act(float low, float high) { return pack_bf16(low, high); }
#else
MF_DEVICE float widen(act h) { return widen_fp16(h.bits); }
MF_DEVICE act narrow(float x) { return act{narrow_fp16(x)}; }
MF_DEVICE uint32_t pack_act(float low, float high) { return pack_fp16(low, high); }
#endif

MF_DEVICE void unpack_act(uint32_t word, float &low, float &high) {
  low = widen(act{uint16_t(word)});
  high = widen(act{uint16_t(word >> 16)});
}

#endif

// MARK: Eight elements at once
// n of them (none where n ≤ 0): 16 bytes an instruction where there are eight at an aligned address, else one by one.
//
// A load and what reads it must not lie in one branch, where the load is waited for: so what is loaded stays as it is
// stored until it is needed, and several loads run beside each other.

MF_DEVICE bool is_aligned(const void *p) { return (size_t(p) & 15) == 0; }

/// Eight fp32 numbers as they are stored.
struct float_octet {
  words4 low, high;
};

MF_DEVICE float_octet load_float_octet(const float *p, int64_t n) {
  if (n >= 8 && is_aligned(p)) return float_octet{load_16(p), load_16(p + 4)};
  uint32_t v[8];
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = i < n ? as_bits(p[i]) : 0;
  return float_octet{{v[0], v[1], v[2], v[3]}, {v[4], v[5], v[6], v[7]}};
}

MF_DEVICE void unpack(const float_octet &octet, float (&v)[8]) {
  const words4 a = octet.low, b = octet.high;
  v[0] = as_float(a.x), v[1] = as_float(a.y), v[2] = as_float(a.z), v[3] = as_float(a.w);
  v[4] = as_float(b.x), v[5] = as_float(b.y), v[6] = as_float(b.z), v[7] = as_float(b.w);
}

MF_DEVICE void load_floats(const float *p, int64_t n, float (&v)[8]) { unpack(load_float_octet(p, n), v); }

MF_DEVICE void store_floats(float *p, int64_t n, const float (&v)[8]) {
  if (n >= 8 && is_aligned(p)) {
    store_16(p, words4{as_bits(v[0]), as_bits(v[1]), as_bits(v[2]), as_bits(v[3])});
    store_16(p + 4, words4{as_bits(v[4]), as_bits(v[5]), as_bits(v[6]), as_bits(v[7])});
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (i < n) p[i] = v[i];
}

#if MF_STORAGE == 0

typedef float_octet octet;
MF_DEVICE octet load_octet(const act *p, int64_t n) { return load_float_octet(p, n); }
MF_DEVICE void store(act *p, int64_t n, const float (&v)[8]) { store_floats(p, n, v); }

#else

/// Eight halves as they are stored.
struct octet {
  words4 words;
};

MF_DEVICE octet load_octet(const act *p, int64_t n) {
  if (n >= 8 && is_aligned(p)) return octet{load_16(p)};
  uint32_t v[8];
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = i < n ? p[i].bits : 0;
  return octet{{v[0] | v[1] << 16, v[2] | v[3] << 16, v[4] | v[5] << 16, v[6] | v[7] << 16}};
}

MF_DEVICE void unpack(const octet &octet, float (&v)[8]) {
  unpack_act(octet.words.x, v[0], v[1]);
  unpack_act(octet.words.y, v[2], v[3]);
  unpack_act(octet.words.z, v[4], v[5]);
  unpack_act(octet.words.w, v[6], v[7]);
}

MF_DEVICE void store(act *p, int64_t n, const float (&v)[8]) {
  if (n >= 8 && is_aligned(p)) {
    store_16(p, words4{pack_act(v[0], v[1]), pack_act(v[2], v[3]), pack_act(v[4], v[5]), pack_act(v[6], v[7])});
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (i < n) p[i] = narrow(v[i]);
}

#endif

MF_DEVICE void load(const act *p, int64_t n, float (&v)[8]) { unpack(load_octet(p, n), v); }

/// The first of the eight elements that are this thread's in a flat range.
MF_DEVICE int64_t flat_start() { return (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * 8; }

// MARK: Sums and maxima; all lanes (all threads) get the result, the order of additions is fixed

MF_DEVICE float warp_sum(float v) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) v += __shfl_xor_sync(ALL_LANES, v, lanes);
  return v;
}

MF_DEVICE float warp_max(float v) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) v = most(v, __shfl_xor_sync(ALL_LANES, v, lanes));
  return v;
}

MF_DEVICE int warp_min(int v) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) v = least(v, __shfl_xor_sync(ALL_LANES, v, lanes));
  return v;
}

MF_DEVICE int warp_max(int v) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) v = most(v, __shfl_xor_sync(ALL_LANES, v, lanes));
  return v;
}

/// Over a block of WARPS full warps; `room` is shared memory of WARPS floats, which nobody uses until the next barrier
/// but one.
template <int WARPS>
MF_DEVICE float block_sum(float v, float *room) {
  v = warp_sum(v);
  if (WARPS == 1) return v;
  __syncthreads();
  if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;
  __syncthreads();
  float total = 0.0f;
#pragma unroll
  for (int warp = 0; warp < WARPS; warp++) total += room[warp];
  return total;
}

/// Of eight columns a lane, over a block of eight warps: warp 0 gets the sums.
MF_DEVICE void sum_to_first_warp(float (&v)[8], float (&room)[8][256]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i < 8; i++) room[warp][i * 32 + lane] = v[i];
  __syncthreads();
  if (warp != 0) return;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    v[i] = 0.0f;
#pragma unroll
    for (int w = 0; w < 8; w++) v[i] += room[w][i * 32 + lane];
  }
}

/// In fp64, over a block of THREADS (a power of two); `room` is shared memory of as many numbers. Thread 0
/// gets the sum, the others 0.
template <int THREADS>
MF_DEVICE double block_sum(double v, double *room) {
  room[threadIdx.x] = v;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
  }
  return threadIdx.x == 0 ? room[0] : 0.0;
}

#endif
