// Everything that is PTX, as small functions. The driver for tests has the same functions in C++ (ptx_on_cpu.h).
//
// Fragments of mma and ldmatrix as the PTX manual draws them, for lane 4g + t (g in 0..<8, t in 0..<4):
//   A (16 × 16 halves)  a[0] = (g, 2t..2t+1)  a[1] = (g+8, 2t..)  a[2] = (g, 2t+8..)  a[3] = (g+8, 2t+8..)
//   B (16 × 8 halves)   b0 = (2t..2t+1, g)    b1 = (2t+8.., g)
//   C (16 × 8 floats)   c[0], c[1] = (g, 2t), (g, 2t+1)           c[2], c[3] = (g+8, 2t), (g+8, 2t+1)
//   ldmatrix            matrix m's row r is the 16 bytes that lane 8m + r points to; word m of lane 4g + t is row g's
//                       elements 2t, 2t+1; transposed: elements g of rows 2t, 2t+1
#ifndef MF_PTX_CUH
#define MF_PTX_CUH

/// 16 bytes, moved by one instruction.
struct alignas(16) words4 {
  uint32_t x, y, z, w;
};

#ifdef MF_ON_CPU
#include "ptx_on_cpu.h"
#else

// MARK: Loads and stores of 16 aligned bytes

MF_DEVICE words4 load_16(const void *p) {
  const uint4 v = *static_cast<const uint4 *>(p);
  return words4{v.x, v.y, v.z, v.w};
}

MF_DEVICE void store_16(void *p, words4 v) { *static_cast<uint4 *>(p) = make_uint4(v.x, v.y, v.z, v.w); }

/// The same to device memory alone: what has just been loaded the compiler would store in four parts.
MF_DEVICE void store_global_16(void *p, words4 v) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// MARK: Halves

/// Rounds to nearest even; what is too large for fp16 becomes infinite.
MF_DEVICE uint16_t narrow_fp16(float x) {
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
}

MF_DEVICE float widen_fp16(uint16_t h) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
}

/// Two halves in a word, `low` in its lower half.
MF_DEVICE uint32_t pack_fp16(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32_t d;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
#else
  return uint32_t(narrow_fp16(low)) | uint32_t(narrow_fp16(high)) << 16;
#endif
}

#if __CUDA_ARCH__ >= 800
MF_DEVICE uint32_t pack_bf16(float low, float high) {
  uint32_t d;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}

MF_DEVICE uint16_t narrow_bf16(float x) { return uint16_t(pack_bf16(x, 0.0f)); }
#endif

/// 2ˣ, relative error 2⁻²²; subnormal results become 0.
MF_DEVICE float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// MARK: Shared memory and tensor cores

MF_DEVICE uint32_t shared_address(const void *p) { return uint32_t(__cvta_generic_to_shared(p)); }

/// Four 8 × 8 matrices of halves; each lane passes the address of one row in shared memory.
MF_DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

MF_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

/// c += a·b in fp32.
MF_DEVICE void mma_m16n8k16_fp16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  // sm_75 has half the depth: its fragments are the two halves of those above.
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

#if __CUDA_ARCH__ >= 800
MF_DEVICE void mma_m16n8k16_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

// MARK: Copies to shared memory that run beside the code

/// Starts copying 16 bytes; zeros where not `valid` (nothing is read then). Done after a wait and a barrier.
MF_DEVICE void cp_async_16(void *shared, const void *global, bool valid) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
#else
  store_16(shared, valid ? load_16(global) : words4{0, 0, 0, 0});
#endif
}

/// Ends a group of copies.
MF_DEVICE void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most N groups of this thread's are under way.
template <int N>
MF_DEVICE void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

#endif
#endif
