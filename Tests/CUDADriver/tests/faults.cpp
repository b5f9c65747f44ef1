// Faults that a test asks for by environment variables.
#include <chrono>
#include <cstring>
#include <thread>

#include "host.h"

static const char *add = R"(extern "C" __global__ void add(float *x) { x[threadIdx.x] += 1.0f; })";

TEST(a_machine_without_a_device, "", {{"MAYFLY_TEST_CUDA_DEVICES", "0"}}) {
  EXPECT(mf_cuda_load(open_library("libcuda.so.1"), &cuda) == nullptr);
  EXPECT_EQUAL(cuda.cuInit(0), 100);
  int count;
  EXPECT_EQUAL(cuda.cuDeviceGetCount(&count), 3);
}

TEST(a_card_and_a_driver_of_choice, "",
     {{"MAYFLY_TEST_CUDA_CAPABILITY", "7.5"}, {"MAYFLY_TEST_CUDA_DRIVER", "11040"}, {"MAYFLY_TEST_CUDA_MULTIPROCESSORS", "13"},
      {"MAYFLY_TEST_CUDA_DEVICES", "2"}, {"MAYFLY_TEST_CUDA_MEMORY", "1000000"}}) {
  open_device();
  int value = 0;
  OK(cuda.cuDriverGetVersion(&value));
  EXPECT_EQUAL(value, 11040);
  OK(cuda.cuDeviceGetCount(&value));
  EXPECT_EQUAL(value, 2);
  OK(cuda.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 1));
  EXPECT_EQUAL(value, 7);
  OK(cuda.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 1));
  EXPECT_EQUAL(value, 5);
  OK(cuda.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
  EXPECT_EQUAL(value, 13);
  OK(cuda.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0));
  EXPECT_EQUAL(value, 65536);
  size_t bytes = 0;
  OK(cuda.cuDeviceTotalMem_v2(&bytes, 0));
  EXPECT_EQUAL(bytes, size_t(1000000));
  char name[100];
  OK(cuda.cuDeviceGetName(name, 100, 0));
  EXPECT(std::strstr(name, "driver for tests") != nullptr);
  CUuuid one, other;
  OK(cuda.cuDeviceGetUuid_v2(&one, 0));
  OK(cuda.cuDeviceGetUuid_v2(&other, 1));
  EXPECT(std::memcmp(&one, &other, sizeof one) != 0);
}

TEST(memory_that_ends, "", {{"MAYFLY_TEST_CUDA_MEMORY", "10000"}}) {
  open_device();
  CUdeviceptr a, b;
  size_t available = 0, total = 0;
  OK(cuda.cuMemAlloc_v2(&a, 6000));
  EXPECT_EQUAL(cuda.cuMemAlloc_v2(&b, 6000), CUDA_ERROR_OUT_OF_MEMORY);
  // Nothing else is lost by that.
  OK(cuda.cuMemGetInfo_v2(&available, &total));
  EXPECT_EQUAL(available, size_t(4000));
  OK(cuda.cuMemFree_v2(a));
  OK(cuda.cuMemAlloc_v2(&b, 10000));
}

TEST(a_launch_that_fails, "", {{"MAYFLY_TEST_CUDA_FAIL", "3"}}) {
  open_device();
  CUfunction f = function(compile(add), "add");
  CUdeviceptr x = upload(std::vector<float>(32));
  OK(launch(f, 1, 32, 0, x));
  OK(launch(f, 1, 32, 0, x));
  EXPECT_EQUAL(launch(f, 1, 32, 0, x), 719);
  EXPECT_EQUAL(cuda.cuMemFree_v2(x), 719);
}

TEST(a_card_that_is_lost, "", {{"MAYFLY_TEST_CUDA_FAIL", "1:214"}}) {
  open_device();
  CUfunction f = function(compile(add), "add");
  CUdeviceptr x = upload(std::vector<float>(32));
  EXPECT_EQUAL(launch(f, 1, 32, 0, x), 214);
  const char *text = nullptr;
  OK(cuda.cuGetErrorName(214, &text));
  EXPECT(std::strcmp(text, "CUDA_ERROR_ECC_UNCORRECTABLE") == 0);
}

TEST(a_launch_that_hangs, "", {{"MAYFLY_TEST_CUDA_HANG", "2"}}) {
  open_device();
  CUfunction f = function(compile(add), "add");
  CUdeviceptr x = upload(std::vector<float>(32));
  CUevent event;
  OK(cuda.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  OK(launch(f, 1, 32, 0, x));
  void *places[] = {&x};
  OK(cuda.cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, stream, places, nullptr));
  OK(cuda.cuEventRecord(event, stream));
  for (int i = 0; i < 10; i++) EXPECT_EQUAL(cuda.cuEventQuery(event), 600);
  // Whoever waits never returns, and others can still ask. Given time, a wait that does return would fail the case.
  std::thread([] {
    cuda.cuStreamSynchronize(stream);
    fail_test(__FILE__, __LINE__, "the wait for a launch that hangs returned");
  }).detach();
  for (int i = 0; i < 20; i++) {
    EXPECT_EQUAL(cuda.cuEventQuery(event), 600);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}
