// Mayfly's CPU kernels: loops with run-time dispatch by instruction set and storage type, on one thread pool.
//
// Conventions
// - Letters: B batch, T time, C width, H query heads, K key/value heads, D head size, V vocabulary, N = B·T rows.
// - All matrices are row-major; `ld…` is the distance between rows in elements.
// - Storage: a table of kernels is made for one type (fp32, bf16, fp16) in which activations, their gradients and the
//   weights that products and the embedding read are stored; these are `void *` here. Everything else is fp32, and so
//   are all sums.
// - Every kernel splits its work into pieces whose bounds depend on the shapes alone and sums in an order that depends
//   on the shapes alone, so that results have the same bits for any number of threads.
// - Nothing allocates: kernels take scratch from the pool, reserved beforehand with mf_pool_reserve().
// - `accumulate`: add to the destination instead of overwriting it.
#ifndef MAYFLY_CKERNELS_H
#define MAYFLY_CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Threads

typedef struct mf_pool mf_pool;

/// Starts `threads - 1` workers; the caller is worker 0. Returns NULL when threads or memory can't be had.
mf_pool *mf_pool_create(int threads);
void mf_pool_destroy(mf_pool *pool);
int mf_pool_threads(const mf_pool *pool);

/// Makes at least `bytes` of 64-byte-aligned scratch available to each worker. Not during mf_parallel. False: no memory.
bool mf_pool_reserve(mf_pool *pool, size_t bytes);
void *mf_pool_scratch(const mf_pool *pool, int worker);

/// Runs body(context, task, worker) for each task in 0..<tasks; idle workers take the next task. Returns when all are done.
void mf_parallel(mf_pool *pool, int64_t tasks, void (*body)(void *context, int64_t task, int worker), void *context);

// MARK: Operations' arguments

/// C = initial + A·B + bias. A and B are of storage; so are C and initial, unless c_fp32 says that they are fp32.
typedef struct {
  int64_t m, n, k;
  const void *a; int64_t lda; bool a_transposed;   // A(i,p) = a[i·lda + p], transposed: a[p·lda + i]
  const void *b; int64_t ldb; bool b_transposed;   // B(p,j) = b[p·ldb + j], transposed: b[j·ldb + p]
  void *c; int64_t ldc; bool c_fp32;
  const void *initial; int64_t ld_initial;         // NULL: zero. May be c itself (accumulate), else must not overlap it
  const float *bias;                               // (n), or NULL
  float *a_sums; bool accumulate_a_sums;           // (m), only of a transposed A: Σ_p A(i,p), a bias' gradient; or NULL
} mf_gemm;

typedef enum { MF_LAYER_NORM, MF_RMS_NORM } mf_norm_kind;

/// y = (x − mean)·rstd·weight + bias over the last axis; RMS: no mean, no bias. weight and bias may be NULL.
typedef struct {
  mf_norm_kind kind;
  int64_t rows, width;
  float epsilon;
  const void *x;
  const float *weight, *bias;
  void *y;
  float *mean, *rstd;                              // mean: (rows), unused for RMS; rstd: (rows)
} mf_norm;

/// Gradients of mf_norm. dx = addend + …; addend may be NULL or dx itself. dweight, dbias may be NULL.
typedef struct {
  mf_norm_kind kind;
  int64_t rows, width;
  float epsilon;
  const void *x, *dy, *addend;
  const float *weight, *bias, *mean, *rstd;        // bias: only for y
  void *dx;
  void *y;                                         // what mf_norm gave, once more, bit for bit; may be dy. Or NULL
  float *dweight, *dbias;
  bool accumulate_weight, accumulate_bias;
} mf_norm_grad;

/// RMS normalization of single heads inside packed rows: x is (rows, ld); heads 0..<heads lie at columns h·head_size.
/// Heads below `query_heads` use query_weight (D), the others key_weight (D); both may be NULL (no weight).
/// Columns from heads·head_size to ld are copied. y may be x.
typedef struct {
  int64_t rows, ld, heads, query_heads, head_size;
  float epsilon;
  const void *x;
  const float *query_weight, *key_weight;
  void *y;
  float *rstd;                                     // (rows, heads)
} mf_head_norm;

typedef struct {
  int64_t rows, ld, heads, query_heads, head_size;
  float epsilon;
  const void *x, *dy;
  const float *query_weight, *key_weight, *rstd;
  void *dx;                                        // may be dy
  float *dquery_weight, *dkey_weight;
  bool accumulate;                                 // of both weight gradients
} mf_head_norm_grad;

/// Rotary positions, "rotate half" layout, on heads 0..<heads of packed rows; other columns are copied. y may be x.
/// (x1, x2) → (x1·cos − x2·sin, x2·cos + x1·sin); `inverse` negates sin (the gradient is the inverse rotation).
typedef struct {
  int64_t rows, ld, heads, head_size;
  const int32_t *positions;                        // (rows), each in 0..<table rows
  const float *cosines, *sines;                    // (table rows, head_size/2)
  bool inverse;
  const void *x;
  void *y;
} mf_rotary;

typedef enum { MF_MASK_CAUSAL, MF_MASK_FULL, MF_MASK_RANGES } mf_mask_kind;

/// Scaled dot-product attention, never holding a T×T matrix; query head h reads key/value head h / (H/K).
/// Dao et al., "FlashAttention", arXiv:2205.14135.
/// Query i of sequence b sees keys in [0, i], all, or [ranges[2(bT+i)], ranges[2(bT+i)+1]) clipped to [0, T);
/// a query that sees none gives zeros (lse −INFINITY).
/// `dropout` > 0: probabilities are dropped after the softmax at that rate and the others divided by 1 − dropout. The one
/// of (b, h, i, j) is kept where word j mod 4 of Philox4x32-10(counter = (j/4, (bH + h)T + i, site, micro_step),
/// key = (seed low, seed high)) is at least ⌊dropout · 2³²⌋.
typedef struct {
  int64_t batch, time, heads, kv_heads, head_size;
  float scale, dropout;
  uint64_t seed;
  uint32_t site, micro_step;
  mf_mask_kind mask;
  const int32_t *ranges;                           // (B, T, 2), only for MF_MASK_RANGES
  const void *q, *k, *v; int64_t ld_q, ld_kv;      // row b·T+t at q + row·ld_q, head h at + h·D
  void *o; int64_t ld_o;
  float *lse;                                      // (B, H, T), log-sum-exp of the scaled, masked scores
} mf_attention;

typedef struct {
  mf_attention forward;                            // as it was run: o and lse hold its results
  const void *do_; int64_t ld_do;
  void *dq, *dk, *dv; int64_t ld_dq, ld_dkv;       // overwritten
} mf_attention_grad;

/// Attention of new queries against a key/value cache (generation). The new keys and values are appended first:
/// row t of sequence b goes to cache position positions[b·T+t], and the query sees cache positions 0...positions[b·T+t].
typedef struct {
  int64_t batch, time, heads, kv_heads, head_size, capacity;
  float scale;
  const int32_t *positions;                        // (B, T), each in 0..<capacity
  const void *q, *k, *v; int64_t ld_q, ld_kv;
  float *k_cache, *v_cache;                        // (B, capacity, K·D)
  void *o; int64_t ld_o;
} mf_cached_attention;

typedef enum { MF_RELU, MF_RELU_SQUARED, MF_SILU, MF_GELU, MF_GELU_TANH } mf_activation_kind;

/// Plain: y = f(x), (rows, width). Gated: x is (rows, 2·width), gate ‖ up; y = f(gate)·up, (rows, width).
typedef struct {
  mf_activation_kind kind;
  bool gated;
  int64_t rows, width;
  const void *x;
  void *y;
} mf_activation;

typedef struct {
  mf_activation_kind kind;
  bool gated;
  int64_t rows, width;
  const void *x, *dy;
  void *dx;                                        // shape of x; plain: may be dy
  void *y;                                         // f(x) or f(gate)·up once more, bit for bit; may be dy, plain: x. Or NULL
} mf_activation_grad;

/// y = x ⊙ mask / (1 − rate). Element i is kept where word (i mod 4) of Philox4x32-10(counter = (i/4, i/4 >> 32, site,
/// micro_step), key = (seed low, seed high)) is at least ⌊rate · 2³²⌋. y may be x. The gradient is the same function of dy.
/// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
typedef struct {
  int64_t count;
  float rate;
  uint64_t seed;
  uint32_t site, micro_step;
  const void *x;
  void *y;
} mf_dropout;

/// y[r] = scale·table[ids[r]].
typedef struct {
  int64_t rows, width, vocabulary;
  float scale;
  const int32_t *ids;                              // (rows), each in 0..<vocabulary (the caller has checked)
  const void *table;                               // (vocabulary, width)
  void *y;                                         // (rows, width)
} mf_embedding;

typedef struct {
  int64_t rows, width, vocabulary;
  float scale;
  const int32_t *ids;
  const void *dy;
  float *dtable;
  bool accumulate;
} mf_embedding_grad;

/// Means over ranges of each row's tokens: y_bs = the mean of x_bt over t in range bs; an empty range gives zeros.
typedef struct {
  int64_t batch, time, width, pools;               // pools: S, ranges of a row
  const int32_t *ranges;                           // (B, S, 2), clipped to [0, T)
  const void *x;                                   // (B, T, width)
  void *y;                                         // (B, S, width)
} mf_mean_pool;

typedef struct {
  int64_t batch, time, width, pools;
  const int32_t *ranges;
  const void *dy;                                  // (B, S, width)
  void *dx;                                        // (B, T, width)
} mf_mean_pool_grad;

/// Depthwise convolution with the tokens before: y_t = x_t + Σ_j w_j·x_{t−j} for j in 1...taps, as far as the text goes.
typedef struct {
  int64_t rows, time, width, taps, capacity;       // rows: B·T
  const int32_t *positions;                        // (B·T), in a text from 0 on; with a cache below `capacity`
  const void *x;                                   // (B·T, width)
  const float *weight;                             // (taps, width), the token just before first
  float *cache;                                    // (B, capacity, width): x of earlier passes, and of this one. Or NULL
  void *y;                                         // (B·T, width)
} mf_convolution;

/// Gradients of mf_convolution without a cache. dweight may be NULL.
typedef struct {
  mf_convolution forward;                          // y: made once more, bit for bit; or NULL
  const void *dy;
  void *dx;
  float *dweight;
  bool accumulate;
} mf_convolution_grad;

/// Projection, softcap, cross-entropy and gradients in one pass over chunks of rows, so that the logits held are bounded
/// by a constant. z = cap·tanh((x·Wᵀ + bias)/cap), cap 0: no softcap.
/// loss_i = s_i − (1 − smoothing)·z_i[target_i] − smoothing·mean(z_i) + z_loss·s_i² with s_i = logsumexp(z_i);
/// total = Σ weight_i·loss_i / normalizer.
/// Rows of weight 0 may hold any target, cost next to nothing, and get loss 0, correct 0 and dx 0.
/// dx and dweight NULL: forward only (evaluation). The gradients are multiplied by gradient_scale, the losses are not.
typedef struct {
  int64_t rows, width, vocabulary;
  float softcap, smoothing, z_loss;
  const void *x;                                   // (rows, width)
  const void *weight;                              // (vocabulary, width)
  const float *bias;                               // (vocabulary) or NULL
  const int32_t *targets;                          // (rows)
  const float *weights;                            // (rows)
  const float *normalizer;                         // one value
  float gradient_scale;
  float *losses;                                   // (rows), unweighted; 0 where the weight is 0
  float *correct;                                  // (rows), 1 where the largest logit (lowest id in a tie) is the target
  void *dx;                                        // (rows, width), gradient of total
  float *dweight;                                  // (vocabulary, width)
  float *dbias;                                    // (vocabulary) or NULL
  bool accumulate_weight, accumulate_bias;
  float *workspace;                                // mf_head_loss_workspace() floats
} mf_head_loss;

/// Floats of workspace that a head of this shape needs: at most about 32 MiB or 256 rows of logits, and those rows' states.
int64_t mf_head_loss_workspace(int64_t rows, int64_t width, int64_t vocabulary);

/// One AdamW update over a flat range: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101,
/// algorithm 2 with decay scaled by the rate, in PyTorch's order of operations.
/// Moments in bf16 are rounded up or down by chance, in proportion to how near they are, so that what is too small to
/// change them adds up all the same: element i of m by the lower and of v by the upper half of a hash of `chance` and i.
typedef struct {
  int64_t count;
  float *weights;
  void *m, *v;                                     // fp32, or of storage: bf16
  bool half_moments;                               // which of both
  uint32_t chance;                                 // another one for every update and range
  void *copy;                                      // what the new weights are in storage, or NULL
  const float *gradients;
  float gradient_scale;                            // clipping: gradients are multiplied by it first
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float bias_correction1, bias_correction2;        // 1 − βᵗ
} mf_adamw;

/// A matrix in flat buffers.
typedef struct {
  int64_t offset, rows, columns;
} mf_matrix;

/// One Muon update of matrices: what Compute's OptimizerUpdate.Muon says.
typedef struct {
  int64_t count;
  const mf_matrix *matrices;                       // one task each: the largest first
  float *weights;                                  // whole buffers from here on
  void *moments;                                   // fp32, or of storage: bf16, rounded by chance as in mf_adamw
  bool half_moments;                               // which of both
  uint32_t chance;                                 // another one for every update
  void *copy;                                      // what the new weights are in storage, or NULL
  const float *gradients;
  float gradient_scale;                            // clipping: gradients are multiplied by it first
  float learning_rate, momentum, weight_decay;
  float norm_margin;                               // the norm is taken to be this much larger
  int64_t polynomial_count;
  const float *polynomials;                        // (count, 3)
} mf_muon;

// MARK: Dispatch

typedef enum { MF_ISA_PLAIN, MF_ISA_NEON, MF_ISA_AVX2, MF_ISA_AVX512, MF_ISA_AVX512_BF16 } mf_isa;
typedef enum { MF_FP32, MF_BF16, MF_FP16 } mf_storage;

/// One instruction set's kernels for one storage type. All write results only to the named outputs.
typedef struct {
  mf_isa isa;
  mf_storage storage;
  const char *name;                                // "plain", "neon", "avx2", "avx512", "avx512bf16"
  void (*gemm)(mf_pool *, const mf_gemm *);
  void (*norm)(mf_pool *, const mf_norm *);
  void (*norm_grad)(mf_pool *, const mf_norm_grad *);
  void (*head_norm)(mf_pool *, const mf_head_norm *);
  void (*head_norm_grad)(mf_pool *, const mf_head_norm_grad *);
  void (*rotary)(mf_pool *, const mf_rotary *);
  void (*attention)(mf_pool *, const mf_attention *);
  void (*attention_grad)(mf_pool *, const mf_attention_grad *);
  void (*cached_attention)(mf_pool *, const mf_cached_attention *);
  void (*activation)(mf_pool *, const mf_activation *);
  void (*activation_grad)(mf_pool *, const mf_activation_grad *);
  void (*dropout)(mf_pool *, const mf_dropout *);
  void (*embedding)(mf_pool *, const mf_embedding *);
  void (*embedding_grad)(mf_pool *, const mf_embedding_grad *);
  void (*convolution)(mf_pool *, const mf_convolution *);
  void (*convolution_grad)(mf_pool *, const mf_convolution_grad *);
  void (*mean_pool)(mf_pool *, const mf_mean_pool *);
  void (*mean_pool_grad)(mf_pool *, const mf_mean_pool_grad *);
  void (*head_loss)(mf_pool *, const mf_head_loss *);
  void (*add)(mf_pool *, int64_t count, const void *a, const void *b, void *y);           // y may be a or b
  void (*softcap)(mf_pool *, int64_t count, float cap, float *x);                         // of logits, in place
  double (*sum_of_squares)(mf_pool *, int64_t count, const float *x);                     // fp64 across blocks
  void (*adamw)(mf_pool *, const mf_adamw *);
  void (*muon)(mf_pool *, const mf_muon *);
  void (*narrow)(mf_pool *, int64_t count, const float *x, void *y);                      // fp32 to storage
  void (*widen)(mf_pool *, int64_t count, const void *x, float *y);                       // storage to fp32
} mf_kernels;

/// The kernels of an instruction set for a storage type, or NULL where this processor or build lacks the instructions.
/// MF_ISA_AVX512_BF16 differs from MF_ISA_AVX512 only for bf16.
const mf_kernels *mf_kernels_for(mf_isa isa, mf_storage storage);
/// The fastest that this processor has.
const mf_kernels *mf_kernels_best(mf_storage storage);

/// Scratch per worker (bytes) that these operations need; reserve the maximum over a program once.
size_t mf_gemm_scratch(void);
size_t mf_attention_scratch(mf_storage storage, int64_t time, int64_t head_size, bool gradient);
size_t mf_muon_scratch(mf_storage storage, int64_t rows, int64_t columns);
size_t mf_row_scratch(int64_t width);              // norms, head norms, column sums, rotary, convolutions (taps·width), head loss rows

#endif
