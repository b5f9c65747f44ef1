// What activations, their gradients and the weights of products are stored as (`act`): fp32, bf16 or fp16.
//
// Arithmetic is in fp32 registers whatever the storage: loads widen, stores round to nearest even. What is too large
// for fp16 becomes infinite; NaN stays NaN. With AVX512-BF16 numbers below 2⁻¹²⁶ become 0.
// A file that is to store halves defines MF_STORES_BF16 or MF_STORES_FP16 first.

#if defined(MF_STORES_BF16)
#define MF_HALF 1
#define MF_STORAGE MF_BF16
#define MF_STORAGE_SUFFIX _bf16
#elif defined(MF_STORES_FP16)
#define MF_HALF 1
#define MF_STORAGE MF_FP16
#define MF_STORAGE_SUFFIX _fp16
#else
#define MF_HALF 0
#define MF_STORAGE MF_FP32
#define MF_STORAGE_SUFFIX _fp32
#endif

#if !MF_HALF

typedef float act;

MF_INLINE vf v_load_act(const act *p) { return v_load(p); }
MF_INLINE void v_store_act(act *p, vf v) { v_store(p, v); }
MF_INLINE vf v_load_act_n(const act *p, int64_t n) { return v_load_n(p, n); }
MF_INLINE void v_store_act_n(act *p, vf v, int64_t n) { v_store_n(p, v, n); }
MF_INLINE float load_act(const act *p) { return *p; }
MF_INLINE void store_act(act *p, float x) { *p = x; }

#else

/// A half's bits; a type of its own, so that nobody computes with them.
typedef struct {
  uint16_t bits;
} act;

typedef uint16_t vh __attribute__((ext_vector_type(MF_WIDTH)));
typedef vh vh_unaligned __attribute__((aligned(2), may_alias));

// MARK: Conversions

#if defined(MF_STORES_BF16)

MF_INLINE vf v_widen(vh h) { return (vf)(__builtin_convertvector(h, vu) << 16); }

MF_INLINE vh v_narrow(vf v) {
#if MF_BF16_INSTRUCTIONS
  return (vh)_mm512_cvtneps_pbh((__m512)v);
#else
  const vu bits = (vu)v, rounded = bits + 0x7fffu + ((bits >> 16) & 1u), quiet = bits | 0x400000u;
  return __builtin_convertvector((v != v ? quiet : rounded) >> 16, vh);
#endif
}

#elif MF_FP16_INSTRUCTIONS

typedef _Float16 vhf __attribute__((ext_vector_type(MF_WIDTH)));

MF_INLINE vf v_widen(vh h) { return __builtin_convertvector((vhf)h, vf); }
MF_INLINE vh v_narrow(vf v) { return (vh)__builtin_convertvector(v, vhf); }

#else

/// The exponent's bias is 15 in place of 127: multiplying by 2¹¹² moves it, of subnormal numbers too.
MF_INLINE vf v_widen(vh h) {
  const vu bits = __builtin_convertvector(h, vu), sign = (bits & 0x8000u) << 16, magnitude = (bits & 0x7fffu) << 13;
  const vu finite = (vu)((vf)magnitude * 0x1p112f), special = magnitude | 0x7f800000u;
  return (vf)(sign | (magnitude >= 0x0f800000u ? special : finite));
}

MF_INLINE vh v_narrow(vf v) {
  const vu sign = ((vu)v >> 16) & 0x8000u, magnitude = (vu)v & 0x7fffffffu;
  // Adding one half of an ulp less a bit, and that bit where the last one kept is odd; the bias moves on the way.
  const vu rounded = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const vu normal = rounded < 0x7c00u ? rounded : (vu)0x7c00u;
  // Below 2⁻¹⁴ an ulp is 2⁻²⁴, as that of 0.5 in fp32: the addition rounds.
  const vu subnormal = (vu)((vf)magnitude + 0.5f) - 0x3f000000u;
  const vu finite = magnitude < 0x38800000u ? subnormal : normal;
  const vu result = magnitude > 0x7f800000u ? (vu)0x7e00u : finite;
  return __builtin_convertvector(sign | result, vh);
}

#endif

// MARK: Loads and stores

MF_INLINE vf v_load_act(const act *p) { return v_widen(*(const vh_unaligned *)p); }
MF_INLINE void v_store_act(act *p, vf v) { *(vh_unaligned *)p = v_narrow(v); }

/// The first n (0...W) at p, zeros behind them; touches no memory beyond.
MF_INLINE vf v_load_act_n(const act *p, int64_t n) {
  if (n == W) return v_load_act(p);
#if MF_WIDTH == 16
  return v_widen((vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
  vh h = (vh)(uint16_t)0;
  for (int64_t i = 0; i < n; i++) h[i] = p[i].bits;
  return v_widen(h);
#endif
}

MF_INLINE void v_store_act_n(act *p, vf v, int64_t n) {
  if (n == W) {
    v_store_act(p, v);
    return;
  }
#if MF_WIDTH == 16
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)v_narrow(v));
#else
  const vh h = v_narrow(v);
  for (int64_t i = 0; i < n; i++) p[i].bits = h[i];
#endif
}

MF_INLINE float load_act(const act *p) { return v_load_act_n(p, 1)[0]; }
MF_INLINE void store_act(act *p, float x) { v_store_act_n(p, (vf)x, 1); }

#if defined(MF_STORES_BF16)
/// Rounds up where the bits that are lost and `random`, below 2¹⁶, carry: as often as the number is nearer to there.
MF_INLINE void v_store_by_chance_n(act *p, vf v, vu random, int64_t n) {
  const vh h = __builtin_convertvector(((vu)v + random) >> 16, vh);
  if (n == W) {
    *(vh_unaligned *)p = h;
    return;
  }
#if MF_WIDTH == 16
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)h);
#else
  for (int64_t i = 0; i < n; i++) p[i].bits = h[i];
#endif
}
#endif

#endif

/// Elements of storage in one float's room.
enum { MF_PER_FLOAT = sizeof(float) / sizeof(act) };
