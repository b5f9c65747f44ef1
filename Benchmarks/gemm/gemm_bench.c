// Mayfly's matrix products beside oneDNN's, measured alternately in one run on the shapes of three models.
//
// Layouts are what a training step has: plain row-major inputs and outputs, nothing packed beforehand; weight
// gradients are fp32 in either storage type. oneDNN gets its best of three ways (dnnl_sgemm for fp32, the matmul primitive, the
// inner-product primitive), chosen per shape by a first round. A round times each side for a while and keeps its fastest
// repetition; the ratio (oneDNN's time ÷ ours, so that more than 1 means faster than oneDNN) is the median over the
// rounds. The peak is a loop of multiply-adds between registers on every thread, measured before each product.
//
//   gemm_bench [--storage fp32|bf16] [--threads N] [--rounds N] [--milliseconds N] [--filter TEXT] [--json FILE]
#include "CKernels.h"

#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// omp.h is not on every include path; one declaration of it serves here, so that oneDNN has as many threads as we.
void omp_set_num_threads(int threads);

typedef enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, KINDS } product_kind;
static const char *const kind_names[KINDS] = {"y = x·Wᵀ", "dx = dy·W", "dW = dyᵀ·x"};

typedef struct {
  const char *model;
  int64_t rows, outputs, inputs;  // y (rows, outputs) = x (rows, inputs) · W (outputs, inputs)ᵀ
} layer;

static const layer layers[] = {
    {"0.8M", 768, 384, 128},     {"0.8M", 768, 128, 128},     {"0.8M", 768, 512, 128},
    {"0.8M", 768, 128, 512},     {"0.8M", 768, 65, 128},      {"10.8M", 16384, 1152, 384},
    {"10.8M", 16384, 384, 384},  {"10.8M", 16384, 1536, 384}, {"10.8M", 16384, 384, 1536},
    {"10.8M", 16384, 65, 384},   {"124M", 256, 2304, 768},    {"124M", 256, 768, 768},
    {"124M", 256, 3072, 768},    {"124M", 256, 768, 3072},    {"124M", 256, 50257, 768},
};
enum { LAYERS = sizeof layers / sizeof layers[0], MOST_ROUNDS = 101, WAYS = 3 };
enum { SGEMM, MATMUL, INNER_PRODUCT };
static const char *const way_names[WAYS] = {"sgemm", "matmul", "inner product"};

typedef struct {
  product_kind kind;
  mf_storage storage;
  int64_t m, n, k;
  void *a, *b, *c;  // of C (m, n) = A·B as gemm sees it
  mf_pool *pool;
  const mf_kernels *kernels;
  dnnl_primitive_t primitives[WAYS];
  dnnl_exec_arg_t arguments[WAYS][3];
  dnnl_memory_t memories[WAYS][3];
} product;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void check(dnnl_status_t status, const char *what) {
  if (status == dnnl_success) return;
  fprintf(stderr, "oneDNN: %s failed with status %d\n", what, (int)status);
  exit(1);
}

/// `count` elements between −0.5 and 0.5.
static void *allocate(int64_t count, mf_storage storage) {
  void *p = aligned_alloc(64, (size_t)((count * 4 + 63) / 64 * 64));
  if (p == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  for (int64_t i = 0; i < count; i++) {
    const float x = (float)(i * 7919 % 1009) / 1009.0f - 0.5f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (storage == MF_BF16) ((uint16_t *)p)[i] = (uint16_t)(bits >> 16);
    else ((float *)p)[i] = x;
  }
  return p;
}

static float value(const void *p, mf_storage storage, int64_t i) {
  if (storage != MF_BF16) return ((const float *)p)[i];
  const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// MARK: Ours

static bool a_transposed(product_kind kind) { return kind == WEIGHT_GRADIENT; }
static bool b_transposed(product_kind kind) { return kind == FORWARD; }
static mf_storage c_storage(const product *p) { return p->kind == WEIGHT_GRADIENT ? MF_FP32 : p->storage; }

static void run_ours(const product *p) {
  const bool at = a_transposed(p->kind), bt = b_transposed(p->kind);
  p->kernels->gemm(
      p->pool, &(mf_gemm){.m = p->m, .n = p->n, .k = p->k, .a = p->a, .lda = at ? p->m : p->k, .a_transposed = at,
                          .b = p->b, .ldb = bt ? p->k : p->n, .b_transposed = bt, .c = p->c, .ldc = p->n,
                          .c_fp32 = c_storage(p) == MF_FP32});
}

// MARK: oneDNN's

static dnnl_memory_desc_t matrix(int64_t rows, int64_t columns, bool transposed, mf_storage storage) {
  dnnl_memory_desc_t description;
  const dnnl_dims_t dims = {rows, columns};
  check(
      dnnl_memory_desc_create_with_tag(
          &description, 2, dims, storage == MF_BF16 ? dnnl_bf16 : dnnl_f32, transposed ? dnnl_ba : dnnl_ab),
      "a memory description");
  return description;
}

static void finish(
    product *p, int way, dnnl_primitive_desc_t primitive, dnnl_memory_desc_t descriptions[3], const int names[3],
    void *const data[3]) {
  check(dnnl_primitive_create(&p->primitives[way], primitive), way_names[way]);
  check(dnnl_primitive_desc_destroy(primitive), way_names[way]);
  for (int i = 0; i < 3; i++) {
    check(dnnl_memory_create(&p->memories[way][i], descriptions[i], engine, data[i]), "memory");
    check(dnnl_memory_desc_destroy(descriptions[i]), "a memory description");
    p->arguments[way][i] = (dnnl_exec_arg_t){names[i], p->memories[way][i]};
  }
}

static void prepare_matmul(product *p) {
  dnnl_memory_desc_t d[3] = {
      matrix(p->m, p->k, a_transposed(p->kind), p->storage), matrix(p->k, p->n, b_transposed(p->kind), p->storage),
      matrix(p->m, p->n, false, c_storage(p))};
  dnnl_primitive_desc_t primitive;
  check(dnnl_matmul_primitive_desc_create(&primitive, engine, d[0], d[1], NULL, d[2], NULL), "matmul");
  finish(
      p, MATMUL, primitive, d, (int[3]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
      (void *[3]){p->a, p->b, p->c});
}

static void prepare_inner_product(product *p) {
  const mf_storage storage = p->storage;
  const int64_t rows = p->kind == WEIGHT_GRADIENT ? p->k : p->m;
  const int64_t outputs = p->kind == FORWARD ? p->n : p->kind == INPUT_GRADIENT ? p->k : p->m;
  const int64_t inputs = p->kind == FORWARD ? p->k : p->n;
  dnnl_memory_desc_t x = matrix(rows, inputs, false, storage), w = matrix(outputs, inputs, false, storage);
  dnnl_memory_desc_t y = matrix(rows, outputs, false, storage);
  if (p->kind == WEIGHT_GRADIENT) w = matrix(outputs, inputs, false, MF_FP32);
  dnnl_primitive_desc_t forward, primitive;
  check(
      dnnl_inner_product_forward_primitive_desc_create(
          &forward, engine, dnnl_forward_training, x, matrix(outputs, inputs, false, storage), NULL, y, NULL),
      "inner product");
  switch (p->kind) {
  case FORWARD:
    finish(
        p, INNER_PRODUCT, forward, (dnnl_memory_desc_t[3]){x, w, y},
        (int[3]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, (void *[3]){p->a, p->b, p->c});
    return;
  case INPUT_GRADIENT:
    check(
        dnnl_inner_product_backward_data_primitive_desc_create(&primitive, engine, x, w, y, forward, NULL),
        "inner product");
    finish(
        p, INNER_PRODUCT, primitive, (dnnl_memory_desc_t[3]){x, w, y},
        (int[3]){DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST}, (void *[3]){p->c, p->b, p->a});
    break;
  default:
    check(
        dnnl_inner_product_backward_weights_primitive_desc_create(&primitive, engine, x, w, NULL, y, forward, NULL),
        "inner product");
    finish(
        p, INNER_PRODUCT, primitive, (dnnl_memory_desc_t[3]){x, w, y},
        (int[3]){DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}, (void *[3]){p->b, p->c, p->a});
  }
  check(dnnl_primitive_desc_destroy(forward), "inner product");
}

static void run_onednn(const product *p, int way) {
  if (way == SGEMM) {
    const bool at = a_transposed(p->kind), bt = b_transposed(p->kind);
    check(
        dnnl_sgemm(
            at ? 'T' : 'N', bt ? 'T' : 'N', p->m, p->n, p->k, 1.0f, p->a, at ? p->m : p->k, p->b, bt ? p->k : p->n,
            0.0f, p->c, p->n),
        "sgemm");
    return;
  }
  check(dnnl_primitive_execute(p->primitives[way], stream, 3, p->arguments[way]), way_names[way]);
  check(dnnl_stream_wait(stream), "stream");
}

static void release(product *p) {
  for (int way = MATMUL; way < WAYS; way++) {
    dnnl_primitive_destroy(p->primitives[way]);
    for (int i = 0; i < 3; i++) dnnl_memory_destroy(p->memories[way][i]);
  }
  free(p->a);
  free(p->b);
  free(p->c);
}

// MARK: The processor's peak

enum { PEAK_STEPS = 4000, PEAK_CHAINS = 24, PEAK_TRIES = 20 };

#if defined(__x86_64__)
#define PEAK_TASK(name, instruction)                                                                               \
  __attribute__((target("avx512f"))) static void name(void *context, int64_t task, int worker) {                   \
    (void)context, (void)task, (void)worker;                                                                       \
    __m512 sums[PEAK_CHAINS] = {}, x = {};                                                                         \
    for (int step = 0; step < PEAK_STEPS; step++) {                                                                \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < PEAK_CHAINS; i++)                                     \
          __asm__ volatile(instruction " %1, %1, %0" : "+v"(sums[i]) : "v"(x));                                    \
    }                                                                                                              \
  }
PEAK_TASK(peak_fp32, "vfmadd231ps")
PEAK_TASK(peak_bf16, "vdpbf16ps")
#endif

/// Operations per second of multiply-adds between registers on all threads; 0 for kernels without AVX-512.
static double peak(const mf_kernels *kernels, mf_pool *pool) {
#if defined(__x86_64__)
  if (kernels->isa != MF_ISA_AVX512 && kernels->isa != MF_ISA_AVX512_BF16) return 0;
  const bool pairs = kernels->isa == MF_ISA_AVX512_BF16 && kernels->storage == MF_BF16;
  const int threads = mf_pool_threads(pool);
  double best = INFINITY;
  for (int i = 0; i < PEAK_TRIES; i++) {
    const double before = seconds();
    mf_parallel(pool, threads, pairs ? peak_bf16 : peak_fp32, NULL);
    best = fmin(best, seconds() - before);
  }
  return (double)PEAK_STEPS * PEAK_CHAINS * threads * (pairs ? 64 : 32) / best;
#else
  return 0;
#endif
}

// MARK: Measuring

enum { OURS = -1 };

static void run(const product *p, int way) {
  if (way == OURS) run_ours(p);
  else run_onednn(p, way);
}

/// The fastest repetition within `duration` (at least three), after a rest in which the other side's threads stop
/// spinning (OpenMP's do so for some milliseconds, on cores that this side needs) and a warm-up.
static double fastest(const product *p, int way, double duration) {
  nanosleep(&(struct timespec){.tv_nsec = 15'000'000}, NULL);
  const double warm = seconds();
  do run(p, way);
  while (seconds() - warm < duration / 2);
  double best = INFINITY;
  const double start = seconds();
  for (int i = 0; i < 3 || seconds() - start < duration; i++) {
    const double before = seconds();
    run(p, way);
    best = fmin(best, seconds() - before);
  }
  return best;
}

/// Largest difference of two results, relative to the largest value: both sides must have computed the same.
static double difference(const void *x, const void *y, mf_storage storage, int64_t count) {
  double error = 0, largest = 1e-30;
  for (int64_t i = 0; i < count; i++) {
    const double ours = value(x, storage, i), theirs = value(y, storage, i);
    error = fmax(error, fabs(ours - theirs));
    largest = fmax(largest, fabs(theirs));
  }
  return error / largest;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, ascending);
  return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

typedef struct {
  double ours, onednn, ratio, error;  // seconds, seconds, onednn ÷ ours
  int way;
} measurement;

static measurement measure(product *p, int rounds, double duration) {
  const int64_t count = p->m * p->n;
  void *expected = allocate(count, c_storage(p));
  measurement result = {.onednn = INFINITY};
  run_onednn(p, MATMUL);
  memcpy(expected, p->c, (size_t)count * (c_storage(p) == MF_BF16 ? 2 : 4));
  run_ours(p);
  result.error = difference(p->c, expected, c_storage(p), count);
  free(expected);
  for (int way = p->storage == MF_FP32 ? SGEMM : MATMUL; way < WAYS; way++) {
    const double time = fastest(p, way, duration);
    if (time < result.onednn) {
      result.onednn = time;
      result.way = way;
    }
  }
  double ours[MOST_ROUNDS], theirs[MOST_ROUNDS], ratios[MOST_ROUNDS];
  for (int round = 0; round < rounds; round++) {
    // Which side goes first alternates.
    const int first = round % 2 == 0 ? OURS : result.way, second = round % 2 == 0 ? result.way : OURS;
    const double one = fastest(p, first, duration), other = fastest(p, second, duration);
    ours[round] = first == OURS ? one : other;
    theirs[round] = first == OURS ? other : one;
    ratios[round] = theirs[round] / ours[round];
  }
  result.ours = median(ours, rounds);
  result.onednn = median(theirs, rounds);
  result.ratio = median(ratios, rounds);
  return result;
}

static product prepare(const layer *shape, product_kind kind, mf_pool *pool, const mf_kernels *kernels) {
  product p = {.kind = kind, .storage = kernels->storage, .pool = pool, .kernels = kernels};
  const int64_t rows = shape->rows, outputs = shape->outputs, inputs = shape->inputs;
  p.m = kind == WEIGHT_GRADIENT ? outputs : rows;
  p.n = kind == FORWARD ? outputs : inputs;
  p.k = kind == FORWARD ? inputs : kind == INPUT_GRADIENT ? outputs : rows;
  p.a = allocate(p.m * p.k, p.storage);
  p.b = allocate(p.k * p.n, p.storage);
  p.c = allocate(p.m * p.n, c_storage(&p));
  prepare_matmul(&p);
  prepare_inner_product(&p);
  return p;
}

int main(int count, char **words) {
  int threads = 2, rounds = 7;
  double duration = 0.05;
  mf_storage storage = MF_FP32;
  const char *json_path = NULL, *filter = "";
  for (int i = 1; i < count; i += 2) {
    const char *value = i + 1 < count ? words[i + 1] : NULL;
    if (value != NULL && strcmp(words[i], "--threads") == 0) threads = atoi(value);
    else if (value != NULL && strcmp(words[i], "--rounds") == 0) rounds = atoi(value);
    else if (value != NULL && strcmp(words[i], "--milliseconds") == 0) duration = atof(value) / 1000;
    else if (value != NULL && strcmp(words[i], "--filter") == 0) filter = value;
    else if (value != NULL && strcmp(words[i], "--json") == 0) json_path = value;
    else if (value != NULL && strcmp(words[i], "--storage") == 0 && strcmp(value, "fp32") == 0) storage = MF_FP32;
    else if (value != NULL && strcmp(words[i], "--storage") == 0 && strcmp(value, "bf16") == 0) storage = MF_BF16;
    else {
      fprintf(
          stderr,
          "usage: gemm_bench [--storage fp32|bf16] [--threads N] [--rounds N] [--milliseconds N] [--filter TEXT] "
          "[--json FILE]\n");
      return 64;
    }
  }
  if (threads < 1 || rounds < 1 || rounds > MOST_ROUNDS || !(duration > 0)) {
    fprintf(stderr, "gemm_bench: --threads from 1, --rounds from 1 to %d, --milliseconds above 0\n", MOST_ROUNDS);
    return 64;
  }
  FILE *json = NULL;
  if (json_path != NULL && (json = fopen(json_path, "w")) == NULL) {
    fprintf(stderr, "gemm_bench: cannot write %s\n", json_path);
    return 73;
  }
  omp_set_num_threads(threads);
  mf_pool *pool = mf_pool_create(threads);
  if (pool == NULL || !mf_pool_reserve(pool, mf_gemm_scratch())) {
    fprintf(stderr, "gemm_bench: no threads or memory\n");
    return 1;
  }
  const mf_kernels *kernels = mf_kernels_best(storage);
  check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
  check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
  const dnnl_version_t *version = dnnl_version();
  const double start = seconds();

  printf(
      "%s matrix products, %s kernels, oneDNN %d.%d.%d, %d thread%s\n\n", storage == MF_BF16 ? "bf16" : "fp32",
      kernels->name, version->major, version->minor, version->patch, threads, threads == 1 ? "" : "s");
  printf(
      "| model | product | m × n × k | ours, GFLOP/s | of the peak | oneDNN, GFLOP/s | its way | ours ÷ oneDNN |\n");
  printf("|---|---|---|---:|---:|---:|---|---:|\n");
  if (json != NULL)
    fprintf(
        json,
        "{\"storage\":\"%s\",\"kernels\":\"%s\",\"onednn\":\"%d.%d.%d\",\"threads\":%d,\"rounds\":%d,\"products\":[",
        storage == MF_BF16 ? "bf16" : "fp32", kernels->name, version->major, version->minor, version->patch, threads,
        rounds);
  double logarithms = 0, least = INFINITY, worst_error = 0;
  int products = 0;
  for (int i = 0; i < LAYERS; i++)
    for (product_kind kind = FORWARD; kind < KINDS; kind++) {
      product p = prepare(&layers[i], kind, pool, kernels);
      char shape[64], label[160];
      snprintf(shape, sizeof shape, "%lld × %lld × %lld", (long long)p.m, (long long)p.n, (long long)p.k);
      snprintf(label, sizeof label, "%s %s %s", layers[i].model, kind_names[kind], shape);
      if (strstr(label, filter) == NULL) {
        release(&p);
        continue;
      }
      const double most = peak(kernels, pool);
      const measurement r = measure(&p, rounds, duration);
      const double gigaflops = 2e-9 * (double)p.m * (double)p.n * (double)p.k;
      const double share = most > 0 ? gigaflops * 1e9 / r.ours / most : NAN;
      printf(
          "| %s | %s | %s | %.1f | %.0f %% | %.1f | %s | %.3f |\n", layers[i].model, kind_names[kind], shape,
          gigaflops / r.ours, 100 * share, gigaflops / r.onednn, way_names[r.way], r.ratio);
      fflush(stdout);
      if (json != NULL)
        fprintf(
            json,
            "%s\n{\"model\":\"%s\",\"product\":\"%s\",\"m\":%lld,\"n\":%lld,\"k\":%lld,\"seconds\":%.9g,"
            "\"peak\":%.4g,\"onednn_seconds\":%.9g,\"onednn_way\":\"%s\",\"ratio\":%.4f}",
            products > 0 ? "," : "", layers[i].model,
            kind == FORWARD          ? "forward"
            : kind == INPUT_GRADIENT ? "input gradient"
                                     : "weight gradient",
            (long long)p.m, (long long)p.n, (long long)p.k, r.ours, most, r.onednn, way_names[r.way], r.ratio);
      logarithms += log(r.ratio);
      least = fmin(least, r.ratio);
      worst_error = fmax(worst_error, r.error);
      products++;
      release(&p);
    }
  const double mean = products > 0 ? exp(logarithms / products) : NAN;
  printf(
      "\nGeometric mean %.3f, least %.3f over %d products; largest difference of results %.1e; %.0f s.\n", mean, least,
      products, worst_error, seconds() - start);
  if (json != NULL) {
    fprintf(
        json, "],\n\"geometric_mean\":%.4f,\"least\":%.4f,\"largest_difference\":%.3g}\n", mean, least,
        worst_error);
    if (fclose(json) != 0) {
      fprintf(stderr, "gemm_bench: cannot write %s\n", json_path);
      return 73;
    }
  }
  mf_pool_destroy(pool);
  dnnl_stream_destroy(stream);
  dnnl_engine_destroy(engine);
  return worst_error < (storage == MF_BF16 ? 1e-2 : 1e-4) ? 0 : 1;
}
