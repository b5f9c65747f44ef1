// Faults and properties that a test asks for by environment variables; docs/cuda-test-driver.md lists them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace driver {

struct Faults {
  int devices;             // MAYFLY_TEST_CUDA_DEVICES
  int driver_version;      // MAYFLY_TEST_CUDA_DRIVER, as cuDriverGetVersion gives it: 13000
  int major, minor;        // MAYFLY_TEST_CUDA_CAPABILITY: 8.0
  int multiprocessors;     // MAYFLY_TEST_CUDA_MULTIPROCESSORS
  size_t memory;           // MAYFLY_TEST_CUDA_MEMORY, bytes
  int64_t failing_launch;  // MAYFLY_TEST_CUDA_FAIL=N or N:ERROR, the Nth launch from 1 on fails; 0: none
  int failing_error;       //   with this code (719 unless given)
  int64_t hanging_launch;  // MAYFLY_TEST_CUDA_HANG=N: the Nth launch never ends; 0: none
  unsigned workers;        // MAYFLY_TEST_CUDA_WORKERS, threads that run blocks
  bool reversed;           // MAYFLY_TEST_CUDA_ORDER=reversed: blocks and threads run from the last to the first

  /// Of a block that asks for it (cuFuncSetAttribute), as the programming guide's table has it.
  int most_shared_memory() const;
};

const Faults &faults();

/// Numbers of the driver API that CUDADriver.h has no need of.
constexpr int CUDA_ERROR_INVALID_VALUE = 1;
constexpr int CUDA_ERROR_NOT_INITIALIZED = 3;
constexpr int CUDA_ERROR_INVALID_DEVICE = 101;
constexpr int CUDA_ERROR_INVALID_IMAGE = 200;
constexpr int CUDA_ERROR_INVALID_CONTEXT = 201;
constexpr int CUDA_ERROR_INVALID_HANDLE = 400;
constexpr int CUDA_ERROR_NOT_FOUND = 500;
constexpr int CUDA_ERROR_ILLEGAL_ADDRESS = 700;
constexpr int CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701;
constexpr int CUDA_ERROR_LAUNCH_TIMEOUT = 702;
constexpr int CUDA_ERROR_ASSERT = 710;
constexpr int CUDA_ERROR_MISALIGNED_ADDRESS = 716;
constexpr int CUDA_ERROR_LAUNCH_FAILED = 719;
constexpr int CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900;
constexpr int CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901;
constexpr int CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904;
constexpr int CUDA_ERROR_ILLEGAL_STATE = 401;

}  // namespace driver
