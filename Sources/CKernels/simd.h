// Vectors of MF_WIDTH lanes, for whichever instruction set includes this file (isa/).
//
// Everything is written with the compiler's vector types; the instruction set shows only in masked loads and stores and
// in whether a multiply-add is one instruction (MF_FMA). Reductions add in a fixed order.
#ifndef MF_WIDTH
#error "a header of isa/ defines MF_WIDTH and MF_FMA first"
#endif

enum { W = MF_WIDTH };

typedef float vf __attribute__((ext_vector_type(MF_WIDTH)));
typedef int32_t vi __attribute__((ext_vector_type(MF_WIDTH)));
typedef uint32_t vu __attribute__((ext_vector_type(MF_WIDTH)));
typedef uint64_t vl __attribute__((ext_vector_type(MF_WIDTH / 2)));
typedef vf vf_unaligned __attribute__((aligned(4)));
typedef vi vi_unaligned __attribute__((aligned(4)));

// MARK: Loads and stores

MF_INLINE vf v_load(const float *p) { return *(const vf_unaligned *)p; }
MF_INLINE vi vi_load(const int32_t *p) { return *(const vi_unaligned *)p; }
MF_INLINE void v_store(float *p, vf v) { *(vf_unaligned *)p = v; }

MF_INLINE vi v_lanes(void) {
#if MF_WIDTH == 16
  return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif MF_WIDTH == 8
  return (vi){0, 1, 2, 3, 4, 5, 6, 7};
#else
  return (vi){0, 1, 2, 3};
#endif
}

/// The first n (0...W) floats at p, zeros behind them; touches no memory beyond.
MF_INLINE vf v_load_masked(const float *p, int64_t n) {
#if MF_WIDTH == 16
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif MF_WIDTH == 8
  return (vf)_mm256_maskload_ps(p, (__m256i)(v_lanes() < (vi)(int32_t)n));
#else
  vf v = (vf)0.0f;
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}

MF_INLINE void v_store_masked(float *p, vf v, int64_t n) {
#if MF_WIDTH == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif MF_WIDTH == 8
  _mm256_maskstore_ps(p, (__m256i)(v_lanes() < (vi)(int32_t)n), (__m256)v);
#else
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

/// The same where most vectors are whole: a masked store takes many times as long on some processors (Zen).
MF_INLINE vf v_load_n(const float *p, int64_t n) { return n == W ? v_load(p) : v_load_masked(p, n); }

MF_INLINE void v_store_n(float *p, vf v, int64_t n) {
  if (n == W) v_store(p, v);
  else v_store_masked(p, v, n);
}

MF_INLINE vi vi_load_n(const int32_t *p, int64_t n) { return (vi)v_load_n((const float *)p, n); }

/// Lanes in use at element i of n: W, or fewer in the last vector.
MF_INLINE int64_t v_left(int64_t i, int64_t n) { return n - i < W ? n - i : W; }

// MARK: Arithmetic

MF_INLINE vf v_fma(vf a, vf b, vf c) {
#if MF_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

MF_INLINE float mf_fma(float a, float b, float c) {
#if MF_FMA
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

MF_INLINE vf v_max(vf a, vf b) { return a > b ? a : b; }
MF_INLINE vf v_min(vf a, vf b) { return a < b ? a : b; }
MF_INLINE vf v_abs(vf a) { return (vf)((vu)a & 0x7fffffffu); }
MF_INLINE vf v_sqrt(vf a) { return __builtin_elementwise_sqrt(a); }
MF_INLINE vf v_copysign(vf magnitude, vf sign) {
  return (vf)(((vu)magnitude & 0x7fffffffu) | ((vu)sign & 0x80000000u));
}

typedef float v4 __attribute__((ext_vector_type(4)));
typedef float v8 __attribute__((ext_vector_type(8)));

MF_INLINE float v_sum(vf v) {
#if MF_WIDTH == 16
  const v8 e = v.lo + v.hi;
  const v4 f = e.lo + e.hi;
#elif MF_WIDTH == 8
  const v4 f = v.lo + v.hi;
#else
  const v4 f = v;
#endif
  return (f.x + f.z) + (f.y + f.w);
}

MF_INLINE float v_largest(vf v) {
#if MF_WIDTH == 16
  const v8 e = v.lo > v.hi ? v.lo : v.hi;
  const v4 f = e.lo > e.hi ? e.lo : e.hi;
#elif MF_WIDTH == 8
  const v4 f = v.lo > v.hi ? v.lo : v.hi;
#else
  const v4 f = v;
#endif
  const float a = f.x > f.z ? f.x : f.z, b = f.y > f.w ? f.y : f.w;
  return a > b ? a : b;
}

// MARK: Functions
// Polynomials are minimax fits of our own (iterated weighted least squares on Chebyshev nodes, fp64).

/// eˣ, relative error about 1e-7; 0 below −87.3, +∞ above 88.7, NaN stays NaN.
MF_INLINE vf v_exp(vf x) {
  const vf limited = x > 89.0f ? (vf)89.0f : x < -88.0f ? (vf)-88.0f : x;
  // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
  const vf shifted = v_fma(limited, (vf)1.44269504088896f, (vf)12582912.0f);
  const vf n = shifted - 12582912.0f;
  vf r = v_fma(n, (vf)-0.693145751953125f, limited);
  r = v_fma(n, (vf)-1.42860682030941723e-6f, r);
  vf p = v_fma(r, (vf)0.001381418900564313f, (vf)0.008368914015591145f);
  p = v_fma(p, r, (vf)0.04166840761899948f);
  p = v_fma(p, r, (vf)0.1666651964187622f);
  p = v_fma(p, r, (vf)0.4999999403953552f);
  p = v_fma(p, r * r, r + 1.0f);
  // 2ⁿ in two steps: n may be 128 while the result is finite.
  const vf scale = (vf)(((vi)shifted + (127 - 1 - 0x4b400000)) << 23);
  const vf y = p * scale * 2.0f;
  return x < -87.3f ? (vf)0.0f : y;
}

MF_INLINE vf v_sigmoid(vf x) { return 1.0f / (1.0f + v_exp(-x)); }

/// tanh, relative error about 1e-7.
MF_INLINE vf v_tanh(vf x) {
  const vf z = x * x;
  vf p = v_fma(z, (vf)-0.005717036779969931f, (vf)0.020650578662753105f);
  p = v_fma(p, z, (vf)-0.05374349653720856f);
  p = v_fma(p, z, (vf)0.13331490755081177f);
  p = v_fma(p, z, (vf)-0.3333328366279602f);
  const vf near = v_fma(p * z, x, x);
  const vf far = 1.0f - 2.0f / (v_exp(2.0f * v_abs(x)) + 1.0f);
  return v_abs(x) < 0.625f ? near : v_copysign(far, x);
}

/// The normal distribution Φ(x) = erfc(−x/√2)/2 and its density φ(x); relative error of the lower tail about 1e-7.
MF_INLINE vf v_normal(vf x, vf *density) {
  const vf z = v_abs(x) * 0.707106781186547524f;
  const vf bell = v_exp(-0.5f * x * x);
  // erfc(z) = e^(−z²)·t·P(t), t = 1/(1 + z/2)
  const vf t = 1.0f / v_fma(z, (vf)0.5f, (vf)1.0f);
  vf p = v_fma(t, (vf)-0.0588473342359066f, (vf)0.2834887206554413f);
  p = v_fma(p, t, (vf)-0.4849390983581543f);
  p = v_fma(p, t, (vf)0.2754654288291931f);
  p = v_fma(p, t, (vf)-0.024821193888783455f);
  p = v_fma(p, t, (vf)0.201917365193367f);
  p = v_fma(p, t, (vf)0.24330003559589386f);
  p = v_fma(p, t, (vf)0.28234803676605225f);
  p = v_fma(p, t, (vf)0.2820879817008972f);
  const vf tail = 0.5f * bell * t * p;
  *density = 0.3989422804014327f * bell;
  return x < 0.0f ? tail : 1.0f - tail;
}
