// What the attention kernels share: masks as ranges of keys, and the arguments of forward and backward.
//
// s_ij = scale·q_i·k_j for keys j in query i's range, o_i = Σ_j softmax_j(s_ij)·m_ij·v_j, lse_i = log Σ_j e^(s_ij);
// m_ij is 1, or with dropout 0 or 1/(1 − rate), by Philox as CKernels.h has it.
// P_ij = e^(s_ij − lse_i), δ_i = do_i·o_i, dS = P ⊙ (m ⊙ (do·vᵀ) − δ), dv = (m ⊙ P)ᵀ·do, dk = scale·dSᵀ·q,
// dq = scale·dS·k; dk and dv of a key/value head sum over its query heads, in order.
// Shapes: q, o (B·T, ·) with head h at columns h·D; k, v the same with K heads; lse, delta (B, H, T).
// Dao et al., "FlashAttention", arXiv:2205.14135; Dao, "FlashAttention-2", arXiv:2307.08691.
#ifndef MF_ATTENTION_CUH
#define MF_ATTENTION_CUH

enum mask_kind { CAUSAL, FULL, RANGES };

/// The keys that a query sees; none: 0..<0.
struct key_range {
  int start, end;
};

MF_DEVICE key_range visible_keys(int mask, const int32_t *ranges, int b, int i, int time) {
  if (i >= time) return key_range{0, 0};
  if (mask == CAUSAL) return key_range{0, i + 1};
  if (mask == FULL) return key_range{0, time};
  const int64_t at = 2 * (int64_t(b) * time + i);
  const int start = most(0, ranges[at]), end = least(time, ranges[at + 1]);
  return start < end ? key_range{start, end} : key_range{0, 0};
}

// Arguments in one place: forward, and what backward has beside them.
#define MF_ATTENTION_ARGUMENTS                                                                                     \
  int time, int kv_heads, int head_size, float scale, int mask, const int32_t *ranges, float rate, uint32_t site,  \
      const mf_run *run, const act *q, const act *k, const act *v, int64_t ld_q, int64_t ld_kv
#define MF_ATTENTION_PASSED \
  time, kv_heads, head_size, scale, mask, ranges, rate, site, run, q, k, v, ld_q, ld_kv

#endif
