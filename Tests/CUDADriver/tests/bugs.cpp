// Planted bugs: each must end the launch with an error and a report that says what and where.
#include "host.h"

static const char *line_numbers = R"(extern "C" __global__ void reads(float *x, float *y, int i) {
  y[threadIdx.x] = 1.0f +
      x[int(threadIdx.x) + i];
})";

static void out_of_bounds(int by, int expected = 700) {
  open_device();
  CUfunction f = function(compile(line_numbers), "reads");
  CUdeviceptr x = upload(std::vector<float>(64)), y = upload(std::vector<float>(64));
  OK(launch(f, 1, 64, 0, x, y, 0));
  EXPECT_EQUAL(launch(f, 1, 64, 0, x, y, by), expected);
  // The context is lost.
  CUdeviceptr more;
  EXPECT_EQUAL(cuda.cuMemAlloc_v2(&more, 4), expected);
  EXPECT_EQUAL(cuda.cuCtxSynchronize(), expected);
}

TEST(a_read_past_the_end, "kernel reads: block (0, 0, 0), thread (63, 0, 0) reads 4 bytes") { out_of_bounds(1); }
TEST(a_read_past_the_end_to_the_byte, "0 bytes past the end of an allocation of 256 bytes") { out_of_bounds(1); }
TEST(a_read_past_the_end_to_the_line, "test.cu:3") { out_of_bounds(1); }
TEST(a_read_before_the_start, "4 bytes before an allocation of 256 bytes") { out_of_bounds(-1); }
TEST(a_read_far_away, "far from every allocation") { out_of_bounds(1 << 30); }

TEST(a_use_after_free, "at byte 0 of an allocation of 256 bytes, which was freed") {
  open_device();
  CUfunction f = function(compile(line_numbers), "reads");
  CUdeviceptr x = upload(std::vector<float>(64)), y = upload(std::vector<float>(64));
  OK(cuda.cuMemFree_v2(x));
  EXPECT_EQUAL(launch(f, 1, 64, 0, x, y, 0), 700);
}

/// Compiles a kernel `bug(float *x, int n)`, runs it with n = 0 or 1, which must be right, then with n = 1 or 2, which
/// must end with an error: so that what is reported is the bug, not the kernel.
static void plant(const std::string &text, int error, unsigned threads = 64, unsigned blocks = 1, int right = 0,
                  int wrong = 1, unsigned shared_bytes = 0) {
  open_device();
  const std::string words = "struct alignas(16) words4 { uint32_t x, y, z, w; };\n#include \"ptx_on_cpu.h\"\n# 1 \"test.cu\"\n";
  CUfunction f = function(compile(words + text, {"--gpu-architecture=sm_80"}), "bug");
  CUdeviceptr x = upload(std::vector<float>(4096, 1));
  OK(launch(f, blocks, threads, shared_bytes, x, right));
  EXPECT_EQUAL(launch(f, blocks, threads, shared_bytes, x, wrong), error);
}

TEST(a_write_past_dynamic_shared_memory, "thread (63, 0, 0) writes 4 bytes") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    extern __shared__ float room[];
    room[threadIdx.x + n] = 1;
  })", 700, 64, 1, 0, 1, 256);
}
TEST(a_write_past_dynamic_shared_memory_to_the_byte, "0 bytes past the end of the block's dynamic shared memory of 256 bytes") {
  plant(R"(extern __shared__ float room[];
    extern "C" __global__ void bug(float *x, int n) { room[threadIdx.x + n] = 1; })", 700, 64, 1, 0, 1, 256);
}
TEST(an_index_past_a_shared_array, "uses index 64 of an array that is shorter (test.cu:3)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    room[threadIdx.x + n] = 1;
  })", 700);
}
TEST(an_index_past_a_local_array, "uses index 8 of an array that is shorter (test.cu:4)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    float own[8];
    for (int i = 0; i < 8; i++) own[i] = x[i];
    x[64 + threadIdx.x] = own[7 + n];
  })", 700);
}
TEST(a_read_of_another_threads_stack, "neither global nor shared memory nor its own") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float *of_thread_0;
    volatile float own = 3;
    if (threadIdx.x == 0) of_thread_0 = (float *)&own;
    __syncthreads();
    if (n == 1) x[threadIdx.x] = *of_thread_0;
  })", 700);
}
TEST(a_misaligned_load_of_8_bytes, "must be a multiple of 8 and is 4 more (test.cu:2)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    const long long v = *(const long long *)(x + n);
    x[256 + threadIdx.x] = v;
  })", 716);
}
TEST(a_misaligned_load_of_16_bytes, "4 bytes after a multiple of 16") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) { x[256 + threadIdx.x] = load_16(x + n).y; })", 716);
}

TEST(a_race_in_shared_memory, "reads, with nothing between that orders them: a race") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    room[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    const float other = room[(threadIdx.x + 1) % 64];
    if (n == 0) __syncthreads();
    room[threadIdx.x] = other;
  })", 719);
}
TEST(a_missing_syncthreads, "test.cu:5") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    room[threadIdx.x] = x[threadIdx.x];
    n == 0 ? __syncthreads() : __syncwarp();
    x[threadIdx.x] = room[63 - threadIdx.x];
  })", 719);
}
TEST(a_missing_syncthreads_with_threads_in_the_other_order, "a race", {{"MAYFLY_TEST_CUDA_ORDER", "reversed"}}) {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    room[threadIdx.x] = 1;
    __syncthreads();
    room[threadIdx.x] = x[threadIdx.x];
    n == 0 ? __syncthreads() : __syncwarp();
    x[threadIdx.x] = room[threadIdx.x ^ 32];
  })", 719);
}
TEST(a_missing_syncwarp_though_a_shuffle_stands_there, "(of the same warp) writes") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    room[threadIdx.x] = 1;
    __syncthreads();
    room[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1);
    if (n == 0) __syncwarp();
    const float sum = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 2);
    x[threadIdx.x] = sum + room[threadIdx.x ^ 1];
  })", 719);
}
TEST(a_syncwarp_of_some_lanes_orders_only_those, "(of the same warp)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    const unsigned lane = threadIdx.x % 32;
    room[threadIdx.x] = 1;
    __syncthreads();
    room[threadIdx.x] = x[threadIdx.x];
    lane < 16 ? __syncwarp(0xffff) : __syncwarp(0xffff0000);
    x[threadIdx.x] = room[threadIdx.x ^ (n == 0 ? 8 : 16)];
  })", 719);
}
TEST(sums_without_atomics, "a race") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    if (n == 0) atomicAdd(x, 1.0f); else x[0] += 1.0f;
  })", 719);
}
TEST(a_race_between_blocks, "that another block of the launch") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    if (threadIdx.x == 0) x[n == 0 ? blockIdx.x : 0] = blockIdx.x;
  })", 719, 32, 8);
}
TEST(a_block_that_reads_what_another_writes, "of global memory (byte") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    x[1024 + i] = x[i + n * 1024];
    if (n == 1) x[1024 + i] = x[1024 + (i + 32) % 256];
  })", 719, 32, 8);
}
TEST(a_race_of_neighbouring_halves_is_none_and_one_of_the_same_is, "a race") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    ((unsigned char *)x)[threadIdx.x] = 1;
    __syncthreads();
    ((unsigned short *)x)[threadIdx.x >> n] = 1;
  })", 719);
}

TEST(uninitialised_shared_memory, "that nobody has written: uninitialised") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ float room[64];
    if (n == 0 || threadIdx.x != 5) room[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = room[threadIdx.x ^ 1];
  })", 719);
}
TEST(sums_on_uninitialised_shared_memory, "that nobody has written: uninitialised") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    extern __shared__ float room[];
    if (n == 0) room[threadIdx.x] = 0;
    room[threadIdx.x] += x[threadIdx.x];
  })", 719, 64, 2, 0, 1, 256);
}

TEST(a_divergent_barrier, "waits at __syncthreads (test.cu:3), while other threads of its block wait at __syncthreads (test.cu:2)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    if (n == 0 || threadIdx.x < 32) __syncthreads();
    else __syncthreads();
  })", 719);
}
TEST(a_barrier_after_some_have_returned, "48 (the first is thread 0) at __syncthreads (test.cu:3), 16 have returned") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    if (n == 1 && threadIdx.x >= 48) return;
    __syncthreads();
  })", 702);
}
TEST(a_deadlock_within_a_warp, "at __shfl_sync (test.cu:3), 16 (the first is thread 16) at __syncthreads (test.cu:4)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    float v = 1;
    if (n == 0 || threadIdx.x < 16) v = __shfl_sync(0xffffffff, v, 0);
    __syncthreads();
    x[threadIdx.x] = v;
  })", 702, 32);
}
TEST(lanes_that_do_different_things, "lanes of a mask must do the same") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    if (n == 0 || threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0xffffffff, x[threadIdx.x], 0);
    else __syncwarp();
  })", 719, 32);
}
TEST(a_lane_outside_of_its_mask, "is not in its own mask at __ballot_sync (test.cu:2)") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    if (threadIdx.x < 16 + n) x[threadIdx.x] = __ballot_sync(0xffff, 1);
  })", 719, 32);
}

static const char *pipeline = R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ __align__(16) float room[2][64 * 4];
    const int t = threadIdx.x;
    for (int i = 0; i < 2; i++) {
      cp_async_16(&room[i][t * 4], x + i * 256 + t * 4, true);
      cp_async_commit();
    }
    for (int i = 2; i < 6; i++) {
      if (n == 0) cp_async_wait<1>(); else cp_async_wait<2>();
      __syncthreads();
      const float v = room[i % 2][(t * 4 + 5) % 256];
      __syncthreads();
      cp_async_16(&room[i % 2][t * 4], x + i * 256 + t * 4, true);
      cp_async_commit();
      x[2048 + i * 64 + t] = v;
    }
  })";
TEST(a_wait_group_too_weak, "still writes: its wait_group is missing or too weak") { plant(pipeline, 719); }
TEST(a_wait_group_without_a_barrier, "a race") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ __align__(16) float room[64 * 4];
    for (int i = 0; i < 4; i++) room[threadIdx.x * 4 + i] = 1;
    __syncthreads();
    cp_async_16(&room[threadIdx.x * 4], x + threadIdx.x * 4, true);
    cp_async_commit();
    cp_async_wait<0>();
    if (n == 0) __syncthreads();
    x[1024 + threadIdx.x] = room[(threadIdx.x * 4 + 5) % 256];
  })", 719);
}
TEST(a_copy_over_what_others_still_read, "reads, with nothing between") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ __align__(16) float room[64 * 4];
    for (int i = 0; i < 4; i++) room[threadIdx.x * 4 + i] = 1;
    __syncthreads();
    x[1024 + threadIdx.x] = room[(threadIdx.x * 4 + 5) % 256];
    if (n == 0) __syncthreads();
    cp_async_16(&room[threadIdx.x * 4], x + threadIdx.x * 4, true);
    cp_async_commit();
    cp_async_wait<0>();
  })", 719);
}
TEST(a_copy_from_past_the_end, "reads 16 bytes") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) {
    __shared__ __align__(16) float room[64 * 4];
    cp_async_16(&room[threadIdx.x * 4], x + n * 4096, true);
  })", 700);
}

TEST(an_assertion, "stops: assert(n == 0) failed") {
  plant(R"(extern "C" __global__ void bug(float *x, int n) { assert(n == 0); })", 710);
}
TEST(a_stack_that_is_too_small, "needs more stack than the driver for tests has") {
  plant(R"(__noinline__ float deep(volatile float *x, int n) {
    volatile float room[1024];
    room[n] = x[0];
    return n == 0 ? room[0] : deep(room, n - 1) + room[n];
  }
  extern "C" __global__ void bug(float *x, int n) { x[threadIdx.x] = deep(x, n); })", 719, 1, 1, 1, 31);
}

TEST(a_bug_stays_when_checks_are_off, "", {{"MAYFLY_TEST_CUDA_CHECKS", "0"}}) {
  open_device();
  CUfunction f = function(compile(R"(extern "C" __global__ void bug(float *x) { x[0] += 1.0f; })"), "bug");
  CUdeviceptr x = upload(std::vector<float>(64));
  OK(launch(f, 1, 64, 0, x));
}
