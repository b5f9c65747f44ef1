// What the PTX manual says of the instructions behind ptx.cuh. Where a fragment's elements lie is stated here as the
// manual's figures show it (which thread and register has the element at a row and column), while ptx_on_cpu.h
// follows the formulas beside them.
#include <cmath>

#include "halves.h"
#include "host.h"

static const std::string words = R"(
  struct alignas(16) words4 { uint32_t x, y, z, w; };
  #include "ptx_on_cpu.h"
)";

struct Place {
  int thread, index;
};

// "MMA .m16n8k16 fragment layout for matrix A with .f16/.bf16 type". Of m16n8k8: its left half.
static Place of_a(int row, int column) {
  return {row % 8 * 4 + column % 8 / 2, (column < 8 ? 0 : 4) + (row < 8 ? 0 : 2) + column % 2};
}
// "… for matrix B": columns go down the threads in fours.
static Place of_b(int row, int column) { return {column * 4 + row % 8 / 2, (row < 8 ? 0 : 2) + row % 2}; }
// "… for accumulator matrix C or D"
static Place of_c(int row, int column) { return {row % 8 * 4 + column / 2, (row < 8 ? 0 : 2) + column % 2}; }

static uint32_t random_state = 12345;
static float random_float() {
  random_state = random_state * 1664525 + 1013904223;
  return float(random_state >> 8) / float(1 << 23) - 1;
}

static void check_mma(const char *name, int K, bool is_bf16, const char *architecture = "sm_80") {
  open_device();
  const std::string text = words + (K == 16 ? R"(
    extern "C" __global__ void product(const uint32_t *a, const uint32_t *b, float *c) {
      const int t = threadIdx.x;
      uint32_t fragment[4] = {a[t * 4], a[t * 4 + 1], a[t * 4 + 2], a[t * 4 + 3]};
      float sum[4] = {c[t * 4], c[t * 4 + 1], c[t * 4 + 2], c[t * 4 + 3]};
      NAME(sum, fragment, b[t * 2], b[t * 2 + 1]);
      for (int i = 0; i < 4; i++) c[t * 4 + i] = sum[i];
    })" : R"(
    extern "C" __global__ void product(const uint32_t *a, const uint32_t *b, float *c) {
      const int t = threadIdx.x;
      float sum[4] = {c[t * 4], c[t * 4 + 1], c[t * 4 + 2], c[t * 4 + 3]};
      NAME(sum, a[t * 2], a[t * 2 + 1], b[t]);
      for (int i = 0; i < 4; i++) c[t * 4 + i] = sum[i];
    })");
  CUfunction f = function(compile(text, {std::string("-DNAME=") + name, std::string("--gpu-architecture=") + architecture}),
                          "product");
  std::vector<uint16_t> a(size_t(16 * K)), b(size_t(K * 8));
  std::vector<float> c(16 * 8);
  double A[16][16], B[16][8], C[16][8];
  for (int row = 0; row < 16; row++)
    for (int column = 0; column < K; column++) {
      const uint16_t h = nearest_half(random_float(), is_bf16);
      A[row][column] = double(half_value(h, is_bf16));
      const Place p = of_a(row, column);
      a[size_t(p.thread * (K / 2) + p.index)] = h;
    }
  for (int row = 0; row < K; row++)
    for (int column = 0; column < 8; column++) {
      const uint16_t h = nearest_half(random_float(), is_bf16);
      B[row][column] = double(half_value(h, is_bf16));
      const Place p = of_b(row, column);
      b[size_t(p.thread * (K / 4) + p.index)] = h;
    }
  for (int row = 0; row < 16; row++)
    for (int column = 0; column < 8; column++) {
      const Place p = of_c(row, column);
      C[row][column] = double(c[size_t(p.thread * 4 + p.index)] = random_float());
    }
  CUdeviceptr pa = upload(a), pb = upload(b), pc = upload(c);
  OK(launch(f, 1, 32, 0, pa, pb, pc));
  const auto d = download<float>(pc, 128);
  for (int row = 0; row < 16; row++)
    for (int column = 0; column < 8; column++) {
      double sum = C[row][column];
      for (int k = 0; k < K; k++) sum += A[row][k] * B[k][column];
      const Place p = of_c(row, column);
      EXPECT(std::fabs(double(d[size_t(p.thread * 4 + p.index)]) - sum) < 1e-6);
    }
}

TEST(mma_m16n8k16_of_bf16) { check_mma("mma_m16n8k16_bf16", 16, true); }
TEST(mma_m16n8k16_of_fp16) { check_mma("mma_m16n8k16_fp16", 16, false); }
TEST(mma_m16n8k16_of_fp16_in_two_parts) { check_mma("mma_m16n8k16_fp16", 16, false, "sm_75"); }
TEST(mma_m16n8k8_of_bf16) { check_mma("mma_m16n8k8_bf16", 8, true); }
TEST(mma_m16n8k8_of_fp16) { check_mma("mma_m16n8k8_fp16", 8, false); }

// "ldmatrix fragment layout for one 8x8 Matrix with 16-bit elements": thread 4·row + column / 2. Threads 0–7 bring the
// rows of the first matrix, 8–15 of the second, and so on; r[m] is of matrix m.
TEST(ldmatrix_of_one_two_and_four_matrices) {
  open_device();
  for (int matrices : {1, 2, 4})
    for (bool is_transposed : {false, true}) {
      const std::string N = std::to_string(matrices), name = "ldmatrix_x" + N + (is_transposed ? "_trans" : "");
      CUfunction f = function(compile(words + R"(
        extern "C" __global__ void load(const uint16_t *x, uint32_t *out) {
          // Rows of 24 halves: 48 bytes apart.
          __shared__ __align__(16) uint16_t rows[32 * 24];
          for (int i = threadIdx.x; i < 32 * 8; i += 32) rows[i / 8 * 24 + i % 8] = x[i];
          __syncwarp();
          uint32_t r[COUNT];
          // Addresses of lanes beyond the matrices are not read.
          LDMATRIX(r, threadIdx.x < 8 * COUNT ? rows + threadIdx.x * 24 : nullptr);
          for (int m = 0; m < COUNT; m++) out[threadIdx.x * COUNT + m] = r[m];
        })", {"-DCOUNT=" + N, "-DLDMATRIX=" + name}), "load");
      std::vector<uint16_t> x(32 * 8);
      for (size_t i = 0; i < x.size(); i++) x[i] = uint16_t(i);
      CUdeviceptr px = upload(x), out = upload(std::vector<uint32_t>(size_t(32 * matrices)));
      OK(launch(f, 1, 32, 0, px, out));
      const auto r = download<uint16_t>(out, size_t(32 * matrices * 2));
      for (int m = 0; m < matrices; m++)
        for (int row = 0; row < 8; row++)
          for (int column = 0; column < 8; column++) {
            const int thread = row * 4 + column / 2;
            const int expected = m * 64 + (is_transposed ? column * 8 + row : row * 8 + column);
            EXPECT_EQUAL(int(r[size_t((thread * matrices + m) * 2 + column % 2)]), expected);
          }
    }
}

TEST(conversions_round_to_nearest_even) {
  open_device();
  CUfunction f = function(compile(words + R"(
    extern "C" __global__ void convert(const float *x, uint16_t *out, float *back) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      out[2 * i] = narrow_fp16(x[i]);
      out[2 * i + 1] = narrow_bf16(x[i]);
      const uint32_t two = pack_fp16(x[i], -x[i]), other = pack_bf16(x[i], -x[i]);
      if (two != (uint32_t(out[2 * i] ^ 0x8000) << 16 | out[2 * i])) __trap();
      if (other != (uint32_t(out[2 * i + 1] ^ 0x8000) << 16 | out[2 * i + 1])) __trap();
      back[i] = widen_fp16(out[2 * i]);
    })"), "convert");
  std::vector<float> x;
  for (float base : {1.0f, 1e-8f, 3e-8f, 5e-5f, 6.1e-5f, 65504.0f, 65519.9f, 65520.0f, 1e30f, 3.39e38f, 0.0f, 2.98e-8f}) x.push_back(base);
  while (x.size() < 1024) x.push_back(std::ldexp(random_float(), int(random_state >> 27) - 20));
  // Halfway between two values of fp16, and of bf16.
  for (size_t i = 512; i < 640; i++) x[i] = std::ldexp(float(2049 + 2 * (i % 100)), -10);
  for (size_t i = 640; i < 768; i++) x[i] = std::ldexp(float(257 + 2 * (i % 100)), -8);
  CUdeviceptr px = upload(x), out = upload(std::vector<uint16_t>(2048)), back = upload(std::vector<float>(1024));
  OK(launch(f, 4, 256, 0, px, out, back));
  const auto h = download<uint16_t>(out, 2048);
  const auto wide = download<float>(back, 1024);
  for (size_t i = 0; i < x.size(); i++) {
    EXPECT_EQUAL(h[2 * i], nearest_half(x[i], false));
    EXPECT_EQUAL(h[2 * i + 1], nearest_half(x[i], true));
    EXPECT_EQUAL(wide[i], half_value(h[2 * i], false));
  }
}

TEST(cp_async_lands_with_its_group) {
  open_device();
  CUfunction f = function(compile(words + R"(
    extern "C" __global__ void __launch_bounds__(64) copy(const float *x, float *out) {
      __shared__ __align__(16) float room[2][64 * 4];
      const int t = threadIdx.x;
      cp_async_16(&room[0][t * 4], x + t * 4, true);
      cp_async_commit();
      cp_async_16(&room[1][t * 4], x + 256 + t * 4, t % 2 == 0);
      cp_async_commit();
      cp_async_wait<1>();
      __syncthreads();
      out[t] = room[0][255 - t];
      cp_async_wait<0>();
      __syncthreads();
      out[64 + t] = room[1][4 * t] + room[1][4 * t + 3];
    })", {"--gpu-architecture=sm_80"}), "copy");
  std::vector<float> x(512);
  for (size_t i = 0; i < x.size(); i++) x[i] = float(i + 1);
  CUdeviceptr px = upload(x), out = upload(std::vector<float>(128));
  OK(launch(f, 1, 64, 0, px, out));
  const auto y = download<float>(out, 128);
  for (int t = 0; t < 64; t++) {
    EXPECT_EQUAL(y[size_t(t)], float(256 - t));
    EXPECT_EQUAL(y[size_t(64 + t)], t % 2 == 0 ? float(257 + 4 * t + 260 + 4 * t) : 0.0f);
  }
}
