// What CUDA C++ has built in, for clang on a CPU: included before each kernel text. The marks __global__, __shared__ and
// __launch_bounds__ are left to the compiler stand-in (nvrtc/), which reads them after the preprocessor has run.
#pragma once

#include <limits.h>
#include <math.h>
#include <string.h>

#include "kernel_interface.h"

#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define __device__
#define __host__
#define __constant__ const
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#undef __noinline__
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

// Code of this header that touches memory on behalf of others reports it itself.
#define MF_CPU_QUIET __attribute__((disable_sanitizer_instrumentation, no_sanitize("bounds", "alignment"))) inline

#define MF_CPU_CONSTANT(T, name, field) \
  MF_CPU_QUIET __attribute__((const, noinline)) T name() { return mf_cpu_self()->field; }
MF_CPU_CONSTANT(uint3, mf_cpu_thread_index, index)
MF_CPU_CONSTANT(uint3, mf_cpu_block_index, block)
MF_CPU_CONSTANT(dim3, mf_cpu_block_size, block_size)
MF_CPU_CONSTANT(dim3, mf_cpu_grid_size, grid_size)
MF_CPU_CONSTANT(unsigned, mf_cpu_lane, lane)
#undef MF_CPU_CONSTANT
#define threadIdx (mf_cpu_thread_index())
#define blockIdx (mf_cpu_block_index())
#define blockDim (mf_cpu_block_size())
#define gridDim (mf_cpu_grid_size())
constexpr int warpSize = 32;

// MARK: Vectors

#define MF_CPU_VECTOR(T, name, align1, align2, align4)                                                              \
  struct name##1 { T x; };                                                                                          \
  struct __align__(align2) name##2 { T x, y; };                                                                     \
  struct name##3 { T x, y, z; };                                                                                    \
  struct __align__(align4) name##4 { T x, y, z, w; };                                                               \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                        \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                                \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
MF_CPU_VECTOR(signed char, char, 1, 2, 4)
MF_CPU_VECTOR(unsigned char, uchar, 1, 2, 4)
MF_CPU_VECTOR(short, short, 2, 4, 8)
MF_CPU_VECTOR(unsigned short, ushort, 2, 4, 8)
MF_CPU_VECTOR(int, int, 4, 8, 16)
MF_CPU_VECTOR(float, float, 4, 8, 16)
MF_CPU_VECTOR(long long, longlong, 8, 16, 16)
MF_CPU_VECTOR(unsigned long long, ulonglong, 8, 16, 16)
MF_CPU_VECTOR(double, double, 8, 16, 16)
#undef MF_CPU_VECTOR

struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// MARK: Barriers

#define MF_CPU_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(MF_CPU_PLACE) { mf_cpu_block_barrier(false, {"__syncthreads", file, line}); }
inline int __syncthreads_count(int predicate, MF_CPU_PLACE) {
  return mf_cpu_block_barrier(predicate, {"__syncthreads_count", file, line});
}
inline int __syncthreads_or(int predicate, MF_CPU_PLACE) {
  return mf_cpu_block_barrier(predicate, {"__syncthreads_or", file, line}) != 0;
}
inline int __syncthreads_and(int predicate, MF_CPU_PLACE) {
  return mf_cpu_block_barrier(!predicate, {"__syncthreads_and", file, line}) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, MF_CPU_PLACE) {
  mf_cpu_warp_barrier(mask, {"__syncwarp", file, line});
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// MARK: Shuffles. A lane that does not take part gives NaN (all bits set): a real card gives anything.

template <typename T>
struct mf_cpu_shuffle {
  T value, result;
  int from;

  MF_CPU_QUIET static void all(void *const *lanes, unsigned mask) {
    for (int lane = 0; lane < 32; lane++) {
      if (!(mask >> lane & 1)) continue;
      auto *mine = (mf_cpu_shuffle *)lanes[lane];
      if (mask >> mine->from & 1) mine->result = ((mf_cpu_shuffle *)lanes[mine->from])->value;
      else __builtin_memset(&mine->result, 0xff, sizeof(T));
    }
  }
};

template <typename T>
MF_CPU_QUIET T mf_cpu_shuffled(unsigned mask, T value, int from, const char *what, const char *file, int line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  mf_cpu_shuffle<T> mine{value, value, from};
  mf_cpu_warp(mask, mf_cpu_shuffle<T>::all, &mine, {what, file, line});
  return mine.result;
}

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, MF_CPU_PLACE) {
  const int lane = (int)mf_cpu_lane();
  return mf_cpu_shuffled(mask, value, (lane & ~(width - 1)) | (from & (width - 1)), "__shfl_sync", file, line);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, MF_CPU_PLACE) {
  const int lane = (int)mf_cpu_lane(), from = lane - (int)by;
  return mf_cpu_shuffled(mask, value, from < (lane & ~(width - 1)) ? lane : from, "__shfl_up_sync", file, line);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, MF_CPU_PLACE) {
  const int lane = (int)mf_cpu_lane(), from = lane + (int)by;
  return mf_cpu_shuffled(mask, value, from > (lane | (width - 1)) ? lane : from, "__shfl_down_sync", file, line);
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, MF_CPU_PLACE) {
  const int lane = (int)mf_cpu_lane(), from = lane ^ by;
  return mf_cpu_shuffled(mask, value, from > (lane | (width - 1)) ? lane : from, "__shfl_xor_sync", file, line);
}

// MARK: Votes

struct mf_cpu_vote {
  bool predicate;
  unsigned result;

  MF_CPU_QUIET static void all(void *const *lanes, unsigned mask) {
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++)
      if (mask >> lane & 1 && ((mf_cpu_vote *)lanes[lane])->predicate) votes |= 1u << lane;
    for (int lane = 0; lane < 32; lane++)
      if (mask >> lane & 1) ((mf_cpu_vote *)lanes[lane])->result = votes;
  }
};

MF_CPU_QUIET unsigned mf_cpu_voted(unsigned mask, bool predicate, const char *what, const char *file, int line) {
  mf_cpu_vote mine{predicate, 0};
  mf_cpu_warp(mask, mf_cpu_vote::all, &mine, {what, file, line});
  return mine.result;
}
inline unsigned __ballot_sync(unsigned mask, int predicate, MF_CPU_PLACE) {
  return mf_cpu_voted(mask, predicate, "__ballot_sync", file, line);
}
inline int __any_sync(unsigned mask, int predicate, MF_CPU_PLACE) {
  return mf_cpu_voted(mask, predicate, "__any_sync", file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, MF_CPU_PLACE) {
  return mf_cpu_voted(mask, !predicate, "__all_sync", file, line) == 0;
}
inline unsigned __activemask() { return mf_cpu_active_mask(); }

// MARK: Atomics (of integers and floats; they order nothing)

#define MF_CPU_ATOMIC_OPERATION(name, change)                                                                       \
  template <typename T>                                                                                             \
  MF_CPU_QUIET T name(T *p, decltype(T()) value) {                                                                  \
    mf_cpu_touch(p, sizeof(T), MF_CPU_ATOMIC);                                                                     \
    T old, next;                                                                                                    \
    __atomic_load(p, &old, __ATOMIC_RELAXED);                                                                       \
    do next = (change);                                                                                             \
    while (!__atomic_compare_exchange(p, &old, &next, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));                   \
    return old;                                                                                                     \
  }
MF_CPU_ATOMIC_OPERATION(atomicAdd, old + value)
MF_CPU_ATOMIC_OPERATION(atomicSub, old - value)
MF_CPU_ATOMIC_OPERATION(atomicExch, value)
MF_CPU_ATOMIC_OPERATION(atomicMin, value < old ? value : old)
MF_CPU_ATOMIC_OPERATION(atomicMax, value > old ? value : old)
MF_CPU_ATOMIC_OPERATION(atomicAnd, old & value)
MF_CPU_ATOMIC_OPERATION(atomicOr, old | value)
MF_CPU_ATOMIC_OPERATION(atomicInc, old >= value ? 0 : old + 1)
#undef MF_CPU_ATOMIC_OPERATION

template <typename T>
MF_CPU_QUIET T atomicCAS(T *p, decltype(T()) expected, decltype(T()) value) {
  mf_cpu_touch(p, sizeof(T), MF_CPU_ATOMIC);
  __atomic_compare_exchange(p, &expected, &value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}

// MARK: Arithmetic

#define MF_CPU_MIN_MAX(T)                                                                                           \
  inline T min(T a, T b) { return a < b ? a : b; }                                                                  \
  inline T max(T a, T b) { return a > b ? a : b; }
MF_CPU_MIN_MAX(int)
MF_CPU_MIN_MAX(unsigned)
MF_CPU_MIN_MAX(long)
MF_CPU_MIN_MAX(unsigned long)
MF_CPU_MIN_MAX(long long)
MF_CPU_MIN_MAX(unsigned long long)
#undef MF_CPU_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

#define MF_CPU_OVERLOAD(name) inline float name(float x) { return name##f(x); }
MF_CPU_OVERLOAD(exp)
MF_CPU_OVERLOAD(exp2)
MF_CPU_OVERLOAD(log)
MF_CPU_OVERLOAD(log2)
MF_CPU_OVERLOAD(sqrt)
MF_CPU_OVERLOAD(sin)
MF_CPU_OVERLOAD(cos)
MF_CPU_OVERLOAD(tanh)
MF_CPU_OVERLOAD(erf)
MF_CPU_OVERLOAD(fabs)
MF_CPU_OVERLOAD(floor)
MF_CPU_OVERLOAD(ceil)
#undef MF_CPU_OVERLOAD
inline float pow(float x, float y) { return powf(x, y); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __exp2f(float x) { return exp2f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fdiv_rn(float x, float y) { return x / y; }
// volatile: neither is contracted into a multiply-add.
inline float __fadd_rn(float x, float y) { volatile float a = x; return a + y; }
inline float __fmul_rn(float x, float y) { volatile float p = x * y; return p; }

inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline int __float2int_rn(float x) { return (int)nearbyintf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline float __int2float_rn(int x) { return (float)x; }

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(unsigned x) { return x == 0 ? 32 : __builtin_clz(x); }
inline int __clzll(unsigned long long x) { return x == 0 ? 64 : __builtin_clzll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) { return __builtin_bitreverse32(x); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  return (unsigned)((((unsigned long long)high << 32 | low) << (by & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31));
}

template <typename T>
inline T __ldg(const T *p) {
  return *p;
}
template <typename T>
inline T __ldcg(const T *p) {
  return *p;
}
template <typename T>
inline void __stcg(T *p, T value) {
  *p = value;
}

inline size_t __cvta_generic_to_shared(const void *p) { return (size_t)p; }
inline long long clock64() { return 0; }
[[noreturn]] inline void __trap() { mf_cpu_trap("__trap() was called"); }
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) ((condition) ? (void)0 : mf_cpu_trap("assert(" #condition ") failed"))
#endif

// MARK: How a kernel is called; for each the compiler stand-in appends a `mf_cpu_kernel_NAME` that uses this

template <int... I>
struct mf_cpu_indices {};
template <typename T, T... I>
using mf_cpu_indices_of = mf_cpu_indices<I...>;

template <typename... P, int... I>
MF_CPU_QUIET void mf_cpu_call(void (*kernel)(P...), void *const *arguments, mf_cpu_indices<I...>) {
  (void)arguments;
  kernel(*(P *)arguments[I]...);
}

template <typename... P>
MF_CPU_QUIET void mf_cpu_call(void (*kernel)(P...), void *const *arguments) {
  mf_cpu_call(kernel, arguments, __make_integer_seq<mf_cpu_indices_of, int, sizeof...(P)>());
}

template <typename... P>
struct mf_cpu_sizes {
  static constexpr size_t count = sizeof...(P);
  static constexpr size_t sizes[sizeof...(P) + 1] = {sizeof(P)..., 0};
};
template <typename... P>
mf_cpu_sizes<P...> mf_cpu_sizes_of(void (*)(P...));
