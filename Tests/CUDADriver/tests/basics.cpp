// Compiling, launching, blocks and warps.
#include <cmath>

#include "host.h"

TEST(a_kernel_sees_its_place_and_its_arguments) {
  open_device();
  CUfunction f = function(compile(R"(
    extern "C" __global__ void places(unsigned *out, int64_t offset, float scale, int width) {
      const unsigned i = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
      const unsigned t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
      out[offset + i * width + t] = unsigned(scale * 4) + i * 1000 + t;
    })"), "places");
  CUdeviceptr out = upload(std::vector<unsigned>(2 * 3 * 4 * 24 + 1, 7));
  int64_t offset = 1;
  float scale = 0.5f;
  int width = 24;
  void *arguments[] = {&out, &offset, &scale, &width};
  OK(cuda.cuLaunchKernel(f, 4, 3, 2, 3, 4, 2, 0, stream, arguments, nullptr));
  // Read when the call was made.
  offset = 1 << 20;
  const auto values = download<unsigned>(out, 2 * 3 * 4 * 24 + 1);
  EXPECT_EQUAL(values[0], 7u);
  for (unsigned i = 0; i < 24; i++)
    for (unsigned t = 0; t < 24; t++) EXPECT_EQUAL(values[1 + i * 24 + t], 2 + i * 1000 + t);
}

static const char *reverse = R"(
  extern __shared__ __align__(16) unsigned char room[];
  extern "C" __global__ void __launch_bounds__(2 * 128) reverse_static(float *x) {
    __shared__ float tile[256];
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
  }
  #define REVERSE(name, T) extern "C" __global__ void name(T *x) {            \
    T *tile = reinterpret_cast<T *>(room);                                     \
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];              \
    __syncthreads();                                                           \
    x[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x]; }
  REVERSE(reverse_dynamic, float)
  extern "C" __global__ void reverse_local(float *x) {
    extern __shared__ float tile[];
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
  })";

TEST(shared_memory_static_and_dynamic) {
  open_device();
  CUmodule module = compile(reverse);
  const unsigned blocks = 37, threads = 256;
  std::vector<float> x(blocks * threads);
  for (size_t i = 0; i < x.size(); i++) x[i] = float(i);
  for (const char *name : {"reverse_static", "reverse_dynamic", "reverse_local"}) {
    CUdeviceptr p = upload(x);
    OK(launch(function(module, name), blocks, threads, threads * 4, p));
    const auto y = download<float>(p, x.size());
    for (unsigned i = 0; i < x.size(); i++) EXPECT_EQUAL(y[i], float(i / threads * threads + threads - 1 - i % threads));
  }
}

TEST(more_threads_than_launch_bounds_say, "__launch_bounds__ says 256") {
  open_device();
  CUdeviceptr p = upload(std::vector<float>(512));
  EXPECT_EQUAL(launch(function(compile(reverse), "reverse_static"), 1, 512, 0, p), 1);
}

TEST(more_shared_memory_than_was_asked_for, "49152 are allowed") {
  open_device();
  CUfunction f = function(compile(reverse), "reverse_dynamic");
  CUdeviceptr p = upload(std::vector<float>(32));
  EXPECT_EQUAL(launch(f, 1, 32, 50000, p), 1);
  OK(cuda.cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 163 * 1024));
  OK(launch(f, 1, 32, 163 * 1024, p));
  EXPECT_EQUAL(cuda.cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 164 * 1024), 1);
}

TEST(shuffles_and_votes) {
  open_device();
  CUfunction f = function(compile(R"(
    extern "C" __global__ void warps(unsigned *out) {
      const unsigned lane = threadIdx.x % 32, all = 0xffffffffu;
      unsigned *mine = out + threadIdx.x * 12;
      mine[0] = __shfl_sync(all, threadIdx.x, 5);
      mine[1] = __shfl_up_sync(all, threadIdx.x, 3);
      mine[2] = __shfl_down_sync(all, threadIdx.x, 3);
      mine[3] = __shfl_xor_sync(all, threadIdx.x, 9);
      mine[4] = __shfl_sync(all, threadIdx.x, 1, 8);
      mine[5] = __shfl_down_sync(all, threadIdx.x, 3, 8);
      mine[6] = __ballot_sync(all, lane % 3 == 0);
      mine[7] = __any_sync(all, lane == 31) * 2 + __all_sync(all, lane < 32);
      mine[8] = __any_sync(all, lane == 32) * 2 + __all_sync(all, lane != 4);
      // Halves of a warp by themselves, one of them twice.
      if (lane < 16) {
        mine[9] = __shfl_xor_sync(0xffff, lane, 1);
        mine[10] = __ballot_sync(0xffff, lane > 10);
      } else {
        mine[9] = __shfl_xor_sync(0xffff0000, lane, 2);
        mine[10] = 0;
      }
      __syncwarp();
      mine[11] = (unsigned)__shfl_xor_sync(all, (long long)threadIdx.x << 32 | 5, 1, 32) +
                 __float_as_uint(__shfl_sync(all, __uint_as_float(lane), 2));
    })"), "warps");
  CUdeviceptr out = upload(std::vector<unsigned>(64 * 12));
  OK(launch(f, 1, 64, 0, out));
  const auto v = download<unsigned>(out, 64 * 12);
  for (unsigned t = 0; t < 64; t++) {
    const unsigned lane = t % 32, *mine = &v[t * 12];
    unsigned thirds = 0;
    for (unsigned i = 0; i < 32; i += 3) thirds |= 1u << i;
    EXPECT_EQUAL(mine[0], t / 32 * 32 + 5);
    EXPECT_EQUAL(mine[1], lane < 3 ? t : t - 3);
    EXPECT_EQUAL(mine[2], lane > 28 ? t : t + 3);
    EXPECT_EQUAL(mine[3], t ^ 9);
    EXPECT_EQUAL(mine[4], t / 8 * 8 + 1);
    EXPECT_EQUAL(mine[5], t % 8 > 4 ? t : t + 3);
    EXPECT_EQUAL(mine[6], thirds);
    EXPECT_EQUAL(mine[7], 3u);
    EXPECT_EQUAL(mine[8], 0u);
    EXPECT_EQUAL(mine[9], lane < 16 ? lane ^ 1 : lane ^ 2);
    EXPECT_EQUAL(mine[10], lane < 16 ? 0xf800u : 0u);
    EXPECT_EQUAL(mine[11], 7u);
  }
}

TEST(barriers_that_count_and_a_block_that_is_no_multiple_of_a_warp) {
  open_device();
  CUfunction f = function(compile(R"(
    extern "C" __global__ void counts(int *out) {
      __shared__ int total;
      if (threadIdx.x == 0) total = 0;
      __syncthreads();
      atomicAdd(&total, threadIdx.x);
      const int even = __syncthreads_count(threadIdx.x % 2 == 0);
      const int some = __syncthreads_or(threadIdx.x == 47), all = __syncthreads_and(threadIdx.x < 48);
      const int last = __shfl_sync(0xffffffffu, (int)threadIdx.x, threadIdx.x < 32 ? 31 : 15);
      out[threadIdx.x] = total + even * 10000 + some * 1000000 + all * 2000000 + last * 10000000;
    })"), "counts");
  CUdeviceptr out = upload(std::vector<int>(48));
  OK(launch(f, 1, 48, 0, out));
  const auto v = download<int>(out, 48);
  for (int t = 0; t < 48; t++)
    EXPECT_EQUAL(v[size_t(t)], 47 * 48 / 2 + 240000 + 3000000 + 10000000 * (t < 32 ? 31 : 47));
}

TEST(headers_options_and_arithmetic) {
  open_device();
  CUmodule module = compile(R"(
    #include "half.cuh"
    extern "C" __global__ void values(float *out) {
      out[0] = HALF * MF_FACTOR;
      out[1] = __CUDA_ARCH__;
      out[2] = rsqrtf(4.0f) + __expf(0.0f) + fmaxf(1.0f, 2.0f) + max(3, 4) + __popc(7) + __clz(1);
      out[3] = make_float4(1, 2, 3, 4).z;
      out[4] = __umulhi(1u << 31, 6u);
    })", {"-DMF_FACTOR=3", "--gpu-architecture=sm_90", "--std=c++17", "--fmad=false", "--ptxas-options=-v"},
    {{"half.cuh", "#define HALF 0.5f\n"}});
  CUdeviceptr out = upload(std::vector<float>(5));
  OK(launch(function(module, "values"), 1, 1, 0, out));
  const auto v = download<float>(out, 5);
  EXPECT_EQUAL(v[0], 1.5f);
  EXPECT_EQUAL(v[1], 900.0f);
  EXPECT_EQUAL(v[2], 0.5f + 1 + 2 + 4 + 3 + 31);
  EXPECT_EQUAL(v[3], 3.0f);
  EXPECT_EQUAL(v[4], 3.0f);
  CUfunction none;
  EXPECT_EQUAL(cuda.cuModuleGetFunction(&none, module, "nothing"), 500);
}

TEST(errors_of_the_compiler_have_their_line) {
  open_device();
  const std::string log = log_of_failure("\n\nextern __shared__ float room[];\nextern \"C\" __global__ void f() {\n  nonsense;\n}");
  EXPECT(log.find("test.cu:5") != std::string::npos);
  EXPECT(log_of_failure("", {"--no-such-option"}, 5).find("--no-such-option") != std::string::npos);
}

TEST(all_of_memory_that_was_not_written_is_nan) {
  open_device();
  CUdeviceptr p;
  OK(cuda.cuMemAlloc_v2(&p, 4000));
  for (float x : download<float>(p, 1000)) EXPECT(std::isnan(x));
}
