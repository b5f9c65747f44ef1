// Mayfly's fp32 matrix products beside oneDNN's, measured alternately in one run on the shapes of three models.
//
// Layouts are what a training step has: plain row-major inputs and outputs, nothing packed beforehand. oneDNN gets its
// best of three ways (dnnl_sgemm, the matmul primitive, the inner-product primitive), chosen per shape by a first round.
// A round times each side for a while and keeps its fastest repetition; the ratio (oneDNN's time ÷ ours, so that
// more than 1 means faster than oneDNN) is the median over the rounds.
//
//   gemm_bench [--threads N] [--rounds N] [--milliseconds N] [--filter TEXT] [--json FILE]
#include "CKernels.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
static const char *const way_names[WAYS] = {"sgemm", "matmul", "inner product"};

typedef struct {
  product_kind kind;
  int64_t m, n, k;
  float *a, *b, *c;  // of C (m, n) = A·B as gemm sees it
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

static float *allocate(int64_t count) {
  float *p = aligned_alloc(64, (size_t)((count * 4 + 63) / 64 * 64));
  if (p == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  for (int64_t i = 0; i < count; i++) p[i] = (float)(i * 7919 % 1009) / 1009.0f - 0.5f;
  return p;
}

// MARK: Ours

static bool a_transposed(product_kind kind) { return kind == WEIGHT_GRADIENT; }
static bool b_transposed(product_kind kind) { return kind == FORWARD; }

static void run_ours(const product *p) {
  const bool at = a_transposed(p->kind), bt = b_transposed(p->kind);
  p->kernels->gemm(
      p->pool, &(mf_gemm){.m = p->m, .n = p->n, .k = p->k, .a = p->a, .lda = at ? p->m : p->k, .a_transposed = at,
                          .b = p->b, .ldb = bt ? p->k : p->n, .b_transposed = bt, .c = p->c, .ldc = p->n});
}

// MARK: oneDNN's

static dnnl_memory_desc_t matrix(int64_t rows, int64_t columns, bool transposed) {
  dnnl_memory_desc_t description;
  const dnnl_dims_t dims = {rows, columns};
  check(
      dnnl_memory_desc_init_by_tag(&description, 2, dims, dnnl_f32, transposed ? dnnl_ba : dnnl_ab),
      "a memory description");
  return description;
}

static void finish(
    product *p, int way, const void *operation, dnnl_memory_desc_t descriptions[3], const int names[3],
    float *const data[3]) {
  dnnl_primitive_desc_t primitive;
  check(dnnl_primitive_desc_create(&primitive, operation, NULL, engine, NULL), way_names[way]);
  check(dnnl_primitive_create(&p->primitives[way], primitive), way_names[way]);
  check(dnnl_primitive_desc_destroy(primitive), way_names[way]);
  for (int i = 0; i < 3; i++) {
    check(dnnl_memory_create(&p->memories[way][i], &descriptions[i], engine, data[i]), "memory");
    p->arguments[way][i] = (dnnl_exec_arg_t){names[i], p->memories[way][i]};
  }
}

static void prepare_matmul(product *p) {
  dnnl_memory_desc_t d[3] = {
      matrix(p->m, p->k, a_transposed(p->kind)), matrix(p->k, p->n, b_transposed(p->kind)), matrix(p->m, p->n, false)};
  dnnl_matmul_desc_t operation;
  check(dnnl_matmul_desc_init(&operation, &d[0], &d[1], NULL, &d[2]), "matmul");
  finish(
      p, 1, &operation, d, (int[3]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, (float *[3]){p->a, p->b, p->c});
}

static void prepare_inner_product(product *p) {
  dnnl_inner_product_desc_t operation;
  switch (p->kind) {
  case FORWARD: {
    dnnl_memory_desc_t d[3] = {matrix(p->m, p->k, false), matrix(p->n, p->k, false), matrix(p->m, p->n, false)};
    check(
        dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_training, &d[0], &d[1], NULL, &d[2]),
        "inner product");
    finish(
        p, 2, &operation, d, (int[3]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        (float *[3]){p->a, p->b, p->c});
    break;
  }
  case INPUT_GRADIENT: {
    dnnl_memory_desc_t d[3] = {matrix(p->m, p->n, false), matrix(p->k, p->n, false), matrix(p->m, p->k, false)};
    check(dnnl_inner_product_backward_data_desc_init(&operation, &d[0], &d[1], &d[2]), "inner product");
    // Its descriptor refers to a forward one as a hint; NULL serves for plain layouts.
    finish(
        p, 2, &operation, d, (int[3]){DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        (float *[3]){p->c, p->b, p->a});
    break;
  }
  default: {
    dnnl_memory_desc_t d[3] = {matrix(p->k, p->n, false), matrix(p->m, p->n, false), matrix(p->k, p->m, false)};
    check(dnnl_inner_product_backward_weights_desc_init(&operation, &d[0], &d[1], NULL, &d[2]), "inner product");
    finish(
        p, 2, &operation, d, (int[3]){DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
        (float *[3]){p->b, p->c, p->a});
  }
  }
}

static void run_onednn(const product *p, int way) {
  if (way == 0) {
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
  for (int way = 1; way < WAYS; way++) {
    dnnl_primitive_destroy(p->primitives[way]);
    for (int i = 0; i < 3; i++) dnnl_memory_destroy(p->memories[way][i]);
  }
  free(p->a);
  free(p->b);
  free(p->c);
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
static double difference(const float *x, const float *y, int64_t count) {
  double error = 0, largest = 1e-30;
  for (int64_t i = 0; i < count; i++) {
    error = fmax(error, fabs((double)x[i] - (double)y[i]));
    largest = fmax(largest, fabs((double)y[i]));
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
  float *expected = allocate(count);
  measurement result = {.onednn = INFINITY};
  run_onednn(p, 0);
  memcpy(expected, p->c, (size_t)count * sizeof *expected);
  run_ours(p);
  result.error = difference(p->c, expected, count);
  free(expected);
  for (int way = 0; way < WAYS; way++) {
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
  product p = {.kind = kind, .pool = pool, .kernels = kernels};
  const int64_t rows = shape->rows, outputs = shape->outputs, inputs = shape->inputs;
  p.m = kind == WEIGHT_GRADIENT ? outputs : rows;
  p.n = kind == FORWARD ? outputs : inputs;
  p.k = kind == FORWARD ? inputs : kind == INPUT_GRADIENT ? outputs : rows;
  p.a = allocate(p.m * p.k);
  p.b = allocate(p.k * p.n);
  p.c = allocate(p.m * p.n);
  prepare_matmul(&p);
  prepare_inner_product(&p);
  return p;
}

int main(int count, char **words) {
  int threads = 2, rounds = 7;
  double duration = 0.05;
  const char *json_path = NULL, *filter = "";
  for (int i = 1; i < count; i += 2) {
    const char *value = i + 1 < count ? words[i + 1] : NULL;
    if (value != NULL && strcmp(words[i], "--threads") == 0) threads = atoi(value);
    else if (value != NULL && strcmp(words[i], "--rounds") == 0) rounds = atoi(value);
    else if (value != NULL && strcmp(words[i], "--milliseconds") == 0) duration = atof(value) / 1000;
    else if (value != NULL && strcmp(words[i], "--filter") == 0) filter = value;
    else if (value != NULL && strcmp(words[i], "--json") == 0) json_path = value;
    else {
      fprintf(
          stderr, "usage: gemm_bench [--threads N] [--rounds N] [--milliseconds N] [--filter TEXT] [--json FILE]\n");
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
  const mf_kernels *kernels = mf_kernels_best(MF_FP32);
  check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
  check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
  const dnnl_version_t *version = dnnl_version();
  const double start = seconds();

  printf(
      "fp32 matrix products, %s kernels, oneDNN %d.%d.%d, %d thread%s\n\n", kernels->name, version->major,
      version->minor, version->patch, threads, threads == 1 ? "" : "s");
  printf("| model | product | m × n × k | ours, GFLOP/s | oneDNN, GFLOP/s | its way | ours ÷ oneDNN |\n");
  printf("|---|---|---|---:|---:|---|---:|\n");
  if (json != NULL)
    fprintf(
        json, "{\"kernels\":\"%s\",\"onednn\":\"%d.%d.%d\",\"threads\":%d,\"rounds\":%d,\"products\":[", kernels->name,
        version->major, version->minor, version->patch, threads, rounds);
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
      const measurement r = measure(&p, rounds, duration);
      const double gigaflops = 2e-9 * (double)p.m * (double)p.n * (double)p.k;
      printf(
          "| %s | %s | %s | %.1f | %.1f | %s | %.3f |\n", layers[i].model, kind_names[kind], shape, gigaflops / r.ours,
          gigaflops / r.onednn, way_names[r.way], r.ratio);
      fflush(stdout);
      if (json != NULL)
        fprintf(
            json,
            "%s\n{\"model\":\"%s\",\"product\":\"%s\",\"m\":%lld,\"n\":%lld,\"k\":%lld,\"seconds\":%.9g,"
            "\"onednn_seconds\":%.9g,\"onednn_way\":\"%s\",\"ratio\":%.4f}",
            products > 0 ? "," : "", layers[i].model,
            kind == FORWARD          ? "forward"
            : kind == INPUT_GRADIENT ? "input gradient"
                                     : "weight gradient",
            (long long)p.m, (long long)p.n, (long long)p.k, r.ours, r.onednn, way_names[r.way], r.ratio);
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
  return worst_error < 1e-4 ? 0 : 1;
}
