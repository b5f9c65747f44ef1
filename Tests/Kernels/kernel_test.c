// Every kernel of every instruction set and storage type here beside the plain fp32 ones, which the Swift tests compare with an
// fp64 reference: for processors on which Swift doesn't run (make test-arm64).
//
// Inputs of halves are rounded before both sides see them. Outputs are framed by guards, which must stay; what isn't finite
// fails. Prints a line for each table and kernel that differs, and exits with 1 if any does.
#include "CKernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: Numbers

static uint64_t random_state = 1;

static uint32_t random_bits(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(random_state >> 32);
}
static int64_t random_below(int64_t n) { return random_bits() % (uint32_t)n; }
static float random_float(void) { return (float)random_bits() / 2147483648.0f - 1.0f; }

static float half_to_float(uint16_t h, mf_storage storage) {
  if (storage == MF_BF16) {
    const uint32_t bits = (uint32_t)h << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
  }
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  const float magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                          : exponent == 0 ? ldexpf((float)fraction, -24)
                                          : ldexpf((float)(fraction + 1024), exponent - 25);
  return h >> 15 ? -magnitude : magnitude;
}

/// The nearest half; of two the even one. x is small enough to be finite.
static uint16_t float_to_half(float x, mf_storage storage) {
  const uint16_t sign = signbit(x) ? 0x8000 : 0;
  uint16_t low = 0, high = storage == MF_BF16 ? 0x7f7f : 0x7bff;
  const float magnitude = fabsf(x);
  // Positive halves are ordered as their bits.
  while (high - low > 1) {
    const uint16_t middle = (uint16_t)((low + high) / 2);
    if (half_to_float(middle, storage) <= magnitude) low = middle;
    else high = middle;
  }
  const float below = magnitude - half_to_float(low, storage), above = half_to_float(high, storage) - magnitude;
  return sign | (below < above || (below == above && low % 2 == 0) ? low : high);
}

// MARK: Sides

enum { GUARD = 64 };  // bytes on either side of an output
static const unsigned char guard_byte = 0xA5;

/// One side of a comparison: a table, and what its last call wrote.
typedef struct {
  const mf_kernels *kernels;
  mf_pool *pool;
  int outputs;
  struct {
    char *bytes;
    int64_t count;
    bool is_fp32;
  } output[8];
} side;

static size_t element_size(const side *s, bool is_fp32) {
  return is_fp32 || s->kernels->storage == MF_FP32 ? sizeof(float) : sizeof(uint16_t);
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  if (memory == NULL) exit(2);
  return memory;
}

/// The side's own copy of an input in its storage type.
static void *input(const side *s, const float *x, int64_t count) {
  char *copy = allocate((size_t)count * element_size(s, false));
  for (int64_t i = 0; i < count; i++)
    if (s->kernels->storage == MF_FP32) ((float *)copy)[i] = x[i];
    else ((uint16_t *)copy)[i] = float_to_half(x[i], s->kernels->storage);
  return copy;
}

static void *output_of(side *s, int64_t count, bool is_fp32) {
  const size_t bytes = (size_t)count * element_size(s, is_fp32);
  char *memory = allocate(bytes + 2 * GUARD);
  memset(memory, guard_byte, bytes + 2 * GUARD);
  memset(memory + GUARD, 0, bytes);
  s->output[s->outputs].bytes = memory;
  s->output[s->outputs].count = count;
  s->output[s->outputs++].is_fp32 = is_fp32;
  return memory + GUARD;
}

static void *stored(side *s, int64_t count) { return output_of(s, count, false); }
static float *full(side *s, int64_t count) { return output_of(s, count, true); }

/// An output that is read as well: an input in place.
static void *in_place(side *s, const float *x, int64_t count) {
  void *copy = input(s, x, count), *memory = stored(s, count);
  memcpy(memory, copy, (size_t)count * element_size(s, false));
  free(copy);
  return memory;
}

static double value(const side *s, int o, int64_t i) {
  const void *memory = s->output[o].bytes + GUARD;
  if (element_size(s, s->output[o].is_fp32) == sizeof(float)) return ((const float *)memory)[i];
  return half_to_float(((const uint16_t *)memory)[i], s->kernels->storage);
}

static bool guards_stand(const side *s, int o) {
  const size_t end = GUARD + (size_t)s->output[o].count * element_size(s, s->output[o].is_fp32);
  for (size_t i = 0; i < GUARD; i++) {
    const unsigned char *bytes = (const unsigned char *)s->output[o].bytes;
    if (bytes[i] != guard_byte || bytes[end + i] != guard_byte) return false;
  }
  return true;
}

static int failures = 0, comparisons = 0;

/// What a gradient makes once more is what the forward kernel gave.
static void same_bits(const char *name, const side *s, const void *y, const void *again, int64_t count) {
  comparisons++;
  if (memcmp(y, again, (size_t)count * element_size(s, false)) == 0) return;
  failures++;
  printf("%s, %s: made again by the gradient it has other bits\n", s->kernels->name, name);
}

static void compare(const char *name, side *ours, side *plain) {
  static const double tolerances[] = {[MF_FP32] = 1e-5, [MF_BF16] = 2e-2, [MF_FP16] = 4e-3};
  const double tolerance = tolerances[ours->kernels->storage];
  for (int o = 0; o < ours->outputs; o++) {
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < ours->output[o].count; i++) {
      const double expected = value(plain, o, i), difference = fabs(value(ours, o, i) - expected);
      largest = fmax(largest, fabs(expected));
      if (!(difference <= worst)) worst = difference;
      if (isnan(difference)) break;
    }
    comparisons++;
    // Sums that cancel have nothing to be relative to.
    if (!(worst <= tolerance * fmax(largest, 0.1)) || !guards_stand(ours, o)) {
      failures++;
      static const char *types[] = {"fp32", "bf16", "fp16"};
      printf(
          "%s %s, %s, output %d of %lld elements: differs by %g, the largest is %g%s\n", ours->kernels->name,
          types[ours->kernels->storage], name, o, (long long)ours->output[o].count, worst, largest,
          guards_stand(ours, o) ? "" : "; writes outside");
    }
  }
  for (int o = 0; o < ours->outputs; o++) {
    free(ours->output[o].bytes);
    free(plain->output[o].bytes);
  }
  ours->outputs = plain->outputs = 0;
}

/// `count` numbers in −1...1 that are exact in the storage type of the side that is tested.
static float *numbers(int64_t count, mf_storage storage) {
  float *x = allocate((size_t)count * sizeof *x);
  for (int64_t i = 0; i < count; i++) {
    x[i] = random_float();
    if (storage != MF_FP32) x[i] = half_to_float(float_to_half(x[i], storage), storage);
  }
  return x;
}

static int32_t *ids_below(int64_t count, int64_t bound) {
  int32_t *ids = allocate((size_t)count * sizeof *ids);
  for (int64_t i = 0; i < count; i++) ids[i] = (int32_t)random_below(bound);
  return ids;
}

static int64_t pick_size(void) {
  static const int64_t sizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, 130};
  return sizes[random_below(sizeof sizes / sizeof sizes[0])];
}

// MARK: Cases. Each draws a shape, calls both sides, and compares. Inputs are leaked: the process is short.

/// Runs what follows for both sides.
#define FOR_BOTH_SIDES for (side *s = ours; s != NULL; s = s == ours ? plain : NULL)

static void gemm_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const int64_t m = pick_size(), n = pick_size(), k = random_below(8) == 0 ? 1100 + pick_size() : pick_size();
  const bool at = random_below(2), bt = random_below(2), fp32 = random_below(2), adds = random_below(2);
  const int64_t lda = (at ? m : k) + random_below(3), ldb = (bt ? k : n) + random_below(3), ldc = n + random_below(3);
  const float *a = numbers((at ? k : m) * lda, type), *b = numbers((bt ? n : k) * ldb, type);
  const float *bias = random_below(2) ? numbers(n, MF_FP32) : NULL, *initial = numbers(m * ldc, type);
  const float *sums = at && random_below(2) ? numbers(m, MF_FP32) : NULL;
  FOR_BOTH_SIDES {
    float *a_sums = sums != NULL ? memcpy(full(s, m), sums, (size_t)m * sizeof *sums) : NULL;
    void *c = fp32 ? memcpy(full(s, m * ldc), initial, (size_t)(m * ldc) * sizeof(float)) : in_place(s, initial, m * ldc);
    s->kernels->gemm(
        s->pool, &(mf_gemm){.m = m, .n = n, .k = k, .a = input(s, a, (at ? k : m) * lda), .lda = lda, .a_transposed = at,
                            .b = input(s, b, (bt ? n : k) * ldb), .ldb = ldb, .b_transposed = bt, .c = c, .ldc = ldc,
                            .c_fp32 = fp32, .initial = adds ? c : NULL, .ld_initial = ldc, .bias = bias,
                            .a_sums = a_sums, .accumulate_a_sums = adds});
  }
  compare("gemm", ours, plain);
}

static void norm_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const mf_norm_kind kind = random_below(2) ? MF_LAYER_NORM : MF_RMS_NORM;
  const int64_t rows = pick_size(), width = 4 + pick_size();
  const float *x = numbers(rows * width, type), *dy = numbers(rows * width, type), *addend = numbers(rows * width, type);
  const float *weight = random_below(3) ? numbers(width, MF_FP32) : NULL;
  const float *bias = kind == MF_LAYER_NORM && weight != NULL ? numbers(width, MF_FP32) : NULL;
  FOR_BOTH_SIDES {
    const void *stored_x = input(s, x, rows * width);
    float *mean = full(s, rows), *rstd = full(s, rows);
    void *y = stored(s, rows * width), *again = stored(s, rows * width);
    s->kernels->norm(
        s->pool, &(mf_norm){.kind = kind, .rows = rows, .width = width, .epsilon = 1e-5f, .x = stored_x, .weight = weight,
                            .bias = bias, .y = y, .mean = mean, .rstd = rstd});
    s->kernels->norm_grad(
        s->pool, &(mf_norm_grad){.kind = kind, .rows = rows, .width = width, .epsilon = 1e-5f, .x = stored_x,
                                 .dy = input(s, dy, rows * width), .addend = input(s, addend, rows * width),
                                 .weight = weight, .bias = bias, .mean = mean, .rstd = rstd,
                                 .dx = stored(s, rows * width), .y = again,
                                 .dweight = weight != NULL ? full(s, width) : NULL,
                                 .dbias = bias != NULL ? full(s, width) : NULL});
    same_bits("norm", s, y, again, rows * width);
  }
  compare("norm and its gradient", ours, plain);
}

static void head_norm_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const int64_t rows = pick_size(), query_heads = 1 + random_below(4), heads = query_heads + 1, size = 4 + pick_size();
  const int64_t ld = (heads + 1) * size;
  const float *x = numbers(rows * ld, type), *dy = numbers(rows * ld, type);
  const float *q = random_below(2) ? numbers(size, MF_FP32) : NULL, *k = q != NULL ? numbers(size, MF_FP32) : NULL;
  FOR_BOTH_SIDES {
    const void *stored_x = input(s, x, rows * ld);
    float *rstd = full(s, rows * heads);
    s->kernels->head_norm(
        s->pool, &(mf_head_norm){.rows = rows, .ld = ld, .heads = heads, .query_heads = query_heads, .head_size = size,
                                 .epsilon = 1e-5f, .x = stored_x, .query_weight = q, .key_weight = k,
                                 .y = stored(s, rows * ld), .rstd = rstd});
    s->kernels->head_norm_grad(
        s->pool, &(mf_head_norm_grad){.rows = rows, .ld = ld, .heads = heads, .query_heads = query_heads,
                                      .head_size = size, .epsilon = 1e-5f, .x = stored_x, .dy = input(s, dy, rows * ld),
                                      .query_weight = q, .key_weight = k, .rstd = rstd, .dx = stored(s, rows * ld),
                                      .dquery_weight = q != NULL ? full(s, size) : NULL,
                                      .dkey_weight = k != NULL ? full(s, size) : NULL});
  }
  compare("head norm and its gradient", ours, plain);
}

static void rotary_case(side *ours, side *plain) {
  const int64_t rows = pick_size(), heads = 1 + random_below(3), size = 2 * pick_size(), ld = heads * size + random_below(9);
  const float *x = numbers(rows * ld, ours->kernels->storage);
  const float *cosines = numbers(50 * size / 2, MF_FP32), *sines = numbers(50 * size / 2, MF_FP32);
  const int32_t *positions = ids_below(rows, 50);
  const bool inverse = random_below(2);
  FOR_BOTH_SIDES {
    s->kernels->rotary(
        s->pool, &(mf_rotary){.rows = rows, .ld = ld, .heads = heads, .head_size = size, .positions = positions,
                              .cosines = cosines, .sines = sines, .inverse = inverse, .x = input(s, x, rows * ld),
                              .y = stored(s, rows * ld)});
  }
  compare("rotary", ours, plain);
}

static void attention_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const int64_t B = 1 + random_below(3), T = pick_size() + (random_below(8) == 0 ? 260 : 0), K = 1 + random_below(2);
  const int64_t H = K * (1 + random_below(3)), D = pick_size(), ld = (H + 2 * K) * D, rows = B * T;
  const float *x = numbers(rows * ld, type), *dy = numbers(rows * H * D, type);
  const mf_mask_kind mask = (mf_mask_kind)random_below(3);
  const float dropout = random_below(3) == 0 ? 0.3f : 0.0f;
  int32_t *ranges = ids_below(2 * rows, T + 1);
  for (int64_t i = 0; i < rows; i++)
    if (ranges[2 * i] > ranges[2 * i + 1]) ranges[2 * i] = 0;
  FOR_BOTH_SIDES {
    const size_t size = element_size(s, false);
    const char *q = input(s, x, rows * ld);
    float *lse = allocate((size_t)(B * H * T) * sizeof *lse);
    const mf_attention forward = {
        .batch = B, .time = T, .heads = H, .kv_heads = K, .head_size = D, .scale = 0.5f, .dropout = dropout, .seed = 7,
        .site = 3, .micro_step = 5, .mask = mask, .ranges = ranges, .q = q, .k = q + (size_t)(H * D) * size,
        .v = q + (size_t)((H + K) * D) * size, .ld_q = ld, .ld_kv = ld, .o = stored(s, rows * H * D), .ld_o = H * D,
        .lse = lse};
    s->kernels->attention(s->pool, &forward);
    char *dq = stored(s, rows * ld);
    s->kernels->attention_grad(
        s->pool, &(mf_attention_grad){.forward = forward, .do_ = input(s, dy, rows * H * D), .ld_do = H * D, .dq = dq,
                                      .dk = dq + (size_t)(H * D) * size, .dv = dq + (size_t)((H + K) * D) * size,
                                      .ld_dq = ld, .ld_dkv = ld});
  }
  compare("attention and its gradient", ours, plain);
}

static void cached_attention_case(side *ours, side *plain) {
  const int64_t B = 1 + random_below(2), T = 1 + random_below(20), K = 1 + random_below(2), H = 2 * K, D = pick_size();
  const int64_t capacity = 300, past = random_below(270), ld = (H + 2 * K) * D, cache = B * capacity * K * D;
  const float *x = numbers(B * T * ld, ours->kernels->storage), *known = numbers(2 * cache, MF_FP32);
  int32_t *positions = allocate((size_t)(B * T) * sizeof *positions);
  for (int64_t i = 0; i < B * T; i++) positions[i] = (int32_t)(past + i % T);
  FOR_BOTH_SIDES {
    const size_t size = element_size(s, false);
    const char *q = input(s, x, B * T * ld);
    float *keys = memcpy(full(s, cache), known, (size_t)cache * sizeof(float));
    float *values = memcpy(full(s, cache), known + cache, (size_t)cache * sizeof(float));
    s->kernels->cached_attention(
        s->pool, &(mf_cached_attention){.batch = B, .time = T, .heads = H, .kv_heads = K, .head_size = D,
                                        .capacity = capacity, .scale = 0.4f, .positions = positions, .q = q,
                                        .k = q + (size_t)(H * D) * size, .v = q + (size_t)((H + K) * D) * size,
                                        .ld_q = ld, .ld_kv = ld, .k_cache = keys, .v_cache = values,
                                        .o = stored(s, B * T * H * D), .ld_o = H * D});
  }
  compare("cached attention", ours, plain);
}

static void activation_case(side *ours, side *plain) {
  const mf_activation_kind kind = (mf_activation_kind)random_below(5);
  const bool gated = random_below(2);
  const int64_t rows = pick_size(), width = pick_size(), wide = gated ? 2 * width : width;
  float *x = numbers(rows * wide, ours->kernels->storage);
  for (int64_t i = 0; i < rows * wide; i++) x[i] *= 4;  // exact: a power of two
  const float *dy = numbers(rows * width, ours->kernels->storage);
  FOR_BOTH_SIDES {
    const void *stored_x = input(s, x, rows * wide);
    void *y = stored(s, rows * width), *again = stored(s, rows * width);
    s->kernels->activation(
        s->pool, &(mf_activation){.kind = kind, .gated = gated, .rows = rows, .width = width, .x = stored_x, .y = y});
    s->kernels->activation_grad(
        s->pool, &(mf_activation_grad){.kind = kind, .gated = gated, .rows = rows, .width = width, .x = stored_x,
                                       .dy = input(s, dy, rows * width), .dx = stored(s, rows * wide), .y = again});
    same_bits("activation", s, y, again, rows * width);
  }
  compare("activation and its gradient", ours, plain);
}

static void rows_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const int64_t rows = pick_size(), width = pick_size(), V = pick_size(), count = rows * width;
  const float *x = numbers(count, type), *y = numbers(count, type), *table = numbers(V * width, type);
  const int32_t *ids = ids_below(rows, V);
  FOR_BOTH_SIDES {
    const void *a = input(s, x, count);
    const void *b = input(s, y, count);
    s->kernels->dropout(
        s->pool, &(mf_dropout){.count = count, .rate = 0.4f, .seed = 9, .site = 1, .micro_step = 2, .x = a,
                               .y = stored(s, count)});
    s->kernels->add(s->pool, count, a, b, stored(s, count));
    s->kernels->embedding(
        s->pool, &(mf_embedding){.rows = rows, .width = width, .vocabulary = V, .scale = 1.5f, .ids = ids,
                                 .table = input(s, table, V * width), .y = stored(s, count)});
    s->kernels->embedding_grad(
        s->pool, &(mf_embedding_grad){.rows = rows, .width = width, .vocabulary = V, .scale = 1.5f, .ids = ids, .dy = b,
                                      .dtable = full(s, V * width)});
    s->kernels->softcap(s->pool, count, 0.7f, memcpy(full(s, count), x, (size_t)count * sizeof(float)));
    float *sum = full(s, 1);
    *sum = (float)s->kernels->sum_of_squares(s->pool, count, x);
    s->kernels->widen(s->pool, count, a, full(s, count));
  }
  compare("dropout, sums, embedding, softcap", ours, plain);
}

static void convolution_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const int64_t B = 1 + random_below(3), T = pick_size(), width = pick_size(), taps = 1 + random_below(5), rows = B * T;
  const int64_t past = random_below(7), capacity = past + T, text = pick_size();
  const float *x = numbers(rows * width, type), *dy = numbers(rows * width, type), *weight = numbers(taps * width, MF_FP32);
  const float *earlier = numbers(B * capacity * width, MF_FP32);
  int32_t *positions = allocate((size_t)rows * sizeof *positions), *later = allocate((size_t)rows * sizeof *later);
  for (int64_t r = 0; r < rows; r++) {
    positions[r] = (int32_t)(r % T % text);
    later[r] = (int32_t)(past + r % T);
  }
  FOR_BOTH_SIDES {
    mf_convolution_grad call = {
      .forward = {.rows = rows, .time = T, .width = width, .taps = taps, .positions = positions,
                  .x = input(s, x, rows * width), .weight = weight, .y = stored(s, rows * width)},
      .dy = input(s, dy, rows * width), .dx = stored(s, rows * width), .dweight = full(s, taps * width)};
    s->kernels->convolution(s->pool, &call.forward);
    const void *y = call.forward.y;
    void *again = call.forward.y = stored(s, rows * width);
    s->kernels->convolution_grad(s->pool, &call);
    same_bits("convolution", s, y, again, rows * width);
    call.forward.positions = later;
    call.forward.capacity = capacity;
    call.forward.cache =
        memcpy(full(s, B * capacity * width), earlier, (size_t)(B * capacity * width) * sizeof(float));
    call.forward.y = stored(s, rows * width);
    s->kernels->convolution(s->pool, &call.forward);
  }
  compare("convolution and its gradient", ours, plain);
}

static void mean_pool_case(side *ours, side *plain) {
  const int64_t B = 1 + random_below(3), T = pick_size(), width = pick_size(), S = 1 + random_below(4);
  const float *x = numbers(B * T * width, ours->kernels->storage), *dy = numbers(B * S * width, ours->kernels->storage);
  int32_t *ranges = allocate((size_t)(2 * B * S) * sizeof *ranges);
  for (int64_t i = 0; i < B * S; i++) {  // side by side, as packed texts are
    ranges[2 * i] = (int32_t)(i % S * T / S);
    ranges[2 * i + 1] = (int32_t)((i % S + 1) * T / S);
  }
  FOR_BOTH_SIDES {
    s->kernels->mean_pool(
        s->pool, &(mf_mean_pool){.batch = B, .time = T, .width = width, .pools = S, .ranges = ranges,
                                 .x = input(s, x, B * T * width), .y = stored(s, B * S * width)});
    s->kernels->mean_pool_grad(
        s->pool, &(mf_mean_pool_grad){.batch = B, .time = T, .width = width, .pools = S, .ranges = ranges,
                                      .dy = input(s, dy, B * S * width), .dx = stored(s, B * T * width)});
  }
  compare("mean pool and its gradient", ours, plain);
}

static void head_loss_case(side *ours, side *plain) {
  const mf_storage type = ours->kernels->storage;
  const int64_t rows = pick_size(), width = pick_size(), V = 1 + pick_size();
  const float *x = numbers(rows * width, type), *weight = numbers(V * width, type);
  const float *bias = random_below(2) ? numbers(V, MF_FP32) : NULL;
  const float cap = random_below(2) ? 15.0f : 0.0f, normalizer = (float)rows;
  const float smoothing = random_below(2) ? 0.1f : 0.0f, z_loss = random_below(2) ? 0.01f : 0.0f;
  const int32_t *targets = ids_below(rows, V);
  float *weights = allocate((size_t)rows * sizeof *weights);
  for (int64_t i = 0; i < rows; i++) weights[i] = random_below(4) == 0 ? 0.0f : 1.0f;
  FOR_BOTH_SIDES {
    // Nearly equal logits may fall either way: what is counted as correct isn't compared.
    float *correct = allocate((size_t)rows * sizeof *correct);
    float *workspace = allocate((size_t)mf_head_loss_workspace(rows, width, V) * sizeof *workspace);
    s->kernels->head_loss(
        s->pool, &(mf_head_loss){.rows = rows, .width = width, .vocabulary = V, .softcap = cap,
                                 .smoothing = smoothing, .z_loss = z_loss,
                                 .x = input(s, x, rows * width), .weight = input(s, weight, V * width), .bias = bias,
                                 .targets = targets, .weights = weights, .normalizer = &normalizer, .gradient_scale = 1,
                                 .losses = full(s, rows), .correct = correct, .dx = stored(s, rows * width),
                                 .dweight = full(s, V * width), .dbias = bias != NULL ? full(s, V) : NULL,
                                 .workspace = workspace});
  }
  compare("head loss", ours, plain);
}

static void adamw_case(side *ours, side *plain) {
  const int64_t count = pick_size() * pick_size();
  const bool halves = ours->kernels->storage == MF_BF16 && random_below(2);
  const float *w = numbers(count, MF_FP32), *m = numbers(count, halves ? MF_BF16 : MF_FP32), *g = numbers(count, MF_FP32);
  FOR_BOTH_SIDES {
    float *weights = memcpy(full(s, count), w, (size_t)count * sizeof *w);
    void *first = halves ? in_place(s, m, count) : memcpy(full(s, count), m, (size_t)count * sizeof *m);
    void *second = halves ? stored(s, count) : full(s, count);
    s->kernels->adamw(
        s->pool, &(mf_adamw){.count = count, .weights = weights, .m = first, .v = second, .gradients = g,
                             .half_moments = halves && s == ours, .chance = 1,
                             .copy = s->kernels->storage == MF_FP32 ? NULL : input(s, w, count), .gradient_scale = 0.5f,
                             .learning_rate = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .weight_decay = 0.1f,
                             .bias_correction1 = 0.1f, .bias_correction2 = 0.05f});
  }
  compare("adamw", ours, plain);
}

/// Polynomials that make no small difference larger, as Muon's own do.
static void muon_case(side *ours, side *plain) {
  mf_matrix matrices[] = {{0, pick_size(), pick_size()}, {0, 1 + random_below(9), pick_size()}};
  matrices[1].offset = matrices[0].rows * matrices[0].columns;
  const int64_t count = matrices[1].offset + matrices[1].rows * matrices[1].columns;
  const bool halves = ours->kernels->storage == MF_BF16 && random_below(2);
  const float *w = numbers(count, MF_FP32), *m = numbers(count, halves ? MF_BF16 : MF_FP32), *g = numbers(count, MF_FP32);
  static const float polynomials[] = {1.5f, -0.5f, 0, 1.875f, -1.25f, 0.375f};
  FOR_BOTH_SIDES {
    float *weights = memcpy(full(s, count), w, (size_t)count * sizeof *w);
    void *moments = halves ? in_place(s, m, count) : memcpy(full(s, count), m, (size_t)count * sizeof *m);
    s->kernels->muon(
        s->pool, &(mf_muon){.count = 2, .matrices = matrices, .weights = weights, .moments = moments, .gradients = g,
                            .half_moments = halves && s == ours, .chance = 1,
                            .copy = s->kernels->storage == MF_FP32 ? NULL : input(s, w, count), .gradient_scale = 0.5f,
                            .learning_rate = 0.5f, .momentum = 0.9f, .weight_decay = 0.1f, .norm_margin = 1.02f,
                            .polynomial_count = 2, .polynomials = polynomials});
  }
  compare("muon", ours, plain);
}

int main(int count, char **words) {
  static void (*const cases[])(side *, side *) = {
      gemm_case,       norm_case, head_norm_case, rotary_case,    attention_case, cached_attention_case,
      activation_case, rows_case, convolution_case, mean_pool_case, head_loss_case, adamw_case, muon_case};
  const int rounds = count > 1 ? atoi(words[1]) : 30;
  mf_pool *pool = mf_pool_create(2);
  const size_t scratch = (size_t)32 << 20;
  if (pool == NULL || !mf_pool_reserve(pool, scratch)) return 2;
  for (mf_isa isa = MF_ISA_PLAIN; isa <= MF_ISA_AVX512_BF16; isa++)
    for (mf_storage storage = MF_FP32; storage <= MF_FP16; storage++) {
      side ours = {.kernels = mf_kernels_for(isa, storage), .pool = pool};
      side plain = {.kernels = mf_kernels_for(MF_ISA_PLAIN, MF_FP32), .pool = pool};
      // Some tables stand for several instruction sets.
      if (ours.kernels == NULL || ours.kernels->isa != isa || ours.kernels == plain.kernels) continue;
      const int before = comparisons;
      for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (int round = 0; round < rounds; round++) cases[c](&ours, &plain);
      static const char *types[] = {"fp32", "bf16", "fp16"};
      printf("%s %s: %d outputs compared\n", ours.kernels->name, types[storage], comparisons - before);
    }
  mf_pool_destroy(pool);
  printf("%d outputs differ\n", failures);
  return failures > 0;
}
