// The device, its context, memory, modules and launches: what the host calls.
#include "driver.h"

#include <atomic>
#include <cstdio>
#include <cstring>

#include "faults.h"
#include "launch.h"
#include "memory.h"
#include "module.h"
#include "stream.h"

using namespace driver;

namespace {

std::atomic<bool> is_initialised{false}, has_context{false};

/// Of MAYFLY_TEST_CUDA_FAIL and _HANG: launches since the start.
int64_t launches = 0;

struct ErrorText {
  CUresult error;
  const char *name, *text;
};

const ErrorText error_texts[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "the device is busy or unavailable"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {CUDA_ERROR_ASSERT, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
     "capturing stream has unjoined work"},
};

const ErrorText *find(CUresult error) {
  for (const ErrorText &text : error_texts)
    if (text.error == error) return &text;
  return nullptr;
}

CUresult complain(CUresult error, const char *call, const std::string &why) {
  std::fprintf(stderr, "CUDA driver for tests: %s: %s\n", call, why.c_str());
  return error;
}

bool is_device(CUdevice device) { return device >= 0 && device < faults().devices; }

CUcontext the_context() {
  static int context;
  return reinterpret_cast<CUcontext>(&context);
}

}  // namespace

CUresult driver::begin_launch() {
  if (launches + 1 == faults().hanging_launch) return never_done;
  return ++launches == faults().failing_launch ? faults().failing_error : int(CUDA_SUCCESS);
}

#define REQUIRE_INITIALISED \
  if (!is_initialised) return CUDA_ERROR_NOT_INITIALIZED
#define BEGIN                                                   \
  std::lock_guard guard(lock());                                \
  if (!has_context) return CUDA_ERROR_INVALID_CONTEXT;          \
  if (context_error != CUDA_SUCCESS) return context_error
#define NOT_WHILE_CAPTURING \
  if (is_capturing()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED

extern "C" {

// MARK: The device

int cuInit(unsigned) {
  if (faults().devices == 0) return CUDA_ERROR_NO_DEVICE;
  is_initialised = true;
  return CUDA_SUCCESS;
}

int cuDriverGetVersion(int *version) {
  *version = faults().driver_version;
  return CUDA_SUCCESS;
}

int cuGetErrorName(CUresult error, const char **text) {
  const ErrorText *found = find(error);
  *text = found == nullptr ? nullptr : found->name;
  return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

int cuGetErrorString(CUresult error, const char **text) {
  const ErrorText *found = find(error);
  *text = found == nullptr ? nullptr : found->text;
  return found == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

int cuDeviceGetCount(int *count) {
  REQUIRE_INITIALISED;
  *count = faults().devices;
  return CUDA_SUCCESS;
}

int cuDeviceGet(CUdevice *device, int ordinal) {
  REQUIRE_INITIALISED;
  if (!is_device(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

int cuDeviceGetName(char *name, int length, CUdevice device) {
  REQUIRE_INITIALISED;
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(name, size_t(length), "Mayfly's CUDA driver for tests (runs on the CPU)");
  return CUDA_SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  REQUIRE_INITIALISED;
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = 1000000; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = faults().multiprocessors; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *value = 32 << 20; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = faults().major; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = faults().minor; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = faults().most_shared_memory(); break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  REQUIRE_INITIALISED;
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = faults().memory;
  return CUDA_SUCCESS;
}

int cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
  REQUIRE_INITIALISED;
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::memcpy(uuid->bytes, "mayfly test gpu", 16);
  uuid->bytes[15] = char('0' + device);
  return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  REQUIRE_INITIALISED;
  if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  *context = the_context();
  has_context = true;
  return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  REQUIRE_INITIALISED;
  return is_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

int cuCtxSetCurrent(CUcontext context) {
  REQUIRE_INITIALISED;
  return context == nullptr || context == the_context() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

// MARK: Memory

int cuMemGetInfo_v2(size_t *available, size_t *total) {
  BEGIN;
  *total = faults().memory;
  *available = *total - Memory::shared().in_use();
  return CUDA_SUCCESS;
}

int cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  size_t at = 0;
  const CUresult error = Memory::shared().allocate(bytes, false, &at);
  if (error == CUDA_SUCCESS) *address = at;
  return error;
}

int cuMemFree_v2(CUdeviceptr address) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  if (const CUresult error = wait(finish_all()); error != CUDA_SUCCESS) return error;
  return Memory::shared().free(address, false);
}

int cuMemAllocHost_v2(void **address, size_t bytes) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  size_t at = 0;
  const CUresult error = Memory::shared().allocate(bytes, true, &at);
  if (error == CUDA_SUCCESS) *address = reinterpret_cast<void *>(at);
  return error;
}

int cuMemFreeHost(void *address) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  if (const CUresult error = wait(finish_all()); error != CUDA_SUCCESS) return error;
  return Memory::shared().free(reinterpret_cast<size_t>(address), true);
}

static CUresult stray(const char *call, CUdeviceptr address, size_t bytes) {
  Memory &memory = Memory::shared();
  return complain(CUDA_ERROR_INVALID_VALUE, call,
                  std::to_string(bytes) + " bytes " +
                      (memory.contains(address) ? memory.describe(address) : "outside of the device's memory"));
}

int cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (bytes == 0) return CUDA_SUCCESS;
  if (!Memory::shared().holds(to, bytes)) return stray("cuMemcpyHtoDAsync", to, bytes);
  void *target = reinterpret_cast<void *>(to);
  if (Memory::shared().is_pinned(reinterpret_cast<size_t>(from)) || stream->capture != nullptr)
    return enqueue(stream, [=] {
      std::memcpy(target, from, bytes);
      return CUDA_SUCCESS;
    });
  // Pageable memory is read before the call returns.
  const char *first = static_cast<const char *>(from);
  return enqueue(stream, [target, staged = std::vector<char>(first, first + bytes)] {
    std::memcpy(target, staged.data(), staged.size());
    return CUDA_SUCCESS;
  });
}

int cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (bytes == 0) return CUDA_SUCCESS;
  if (!Memory::shared().holds(from, bytes)) return stray("cuMemcpyDtoHAsync", from, bytes);
  const CUresult error = enqueue(stream, [=] {
    std::memcpy(to, reinterpret_cast<const void *>(from), bytes);
    return CUDA_SUCCESS;
  });
  // Pageable memory is written before the call returns.
  const bool is_done_now = !Memory::shared().is_pinned(reinterpret_cast<size_t>(to)) && stream->capture == nullptr;
  return error == CUDA_SUCCESS && is_done_now ? wait(finish(stream)) : error;
}

int cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (bytes == 0) return CUDA_SUCCESS;
  if (!Memory::shared().holds(to, bytes)) return stray("cuMemcpyDtoDAsync", to, bytes);
  if (!Memory::shared().holds(from, bytes)) return stray("cuMemcpyDtoDAsync", from, bytes);
  return enqueue(stream, [=] {
    std::memmove(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes);
    return CUDA_SUCCESS;
  });
}

int cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (count == 0) return CUDA_SUCCESS;
  if (!Memory::shared().holds(to, count)) return stray("cuMemsetD8Async", to, count);
  return enqueue(stream, [=] {
    std::memset(reinterpret_cast<void *>(to), value, count);
    return CUDA_SUCCESS;
  });
}

// MARK: Modules

int cuModuleLoadData(CUmodule *module, const void *image) {
  BEGIN;
  auto opened = CUmod_st::open(image);
  if (opened == nullptr) return CUDA_ERROR_INVALID_IMAGE;
  *module = opened.release();
  return CUDA_SUCCESS;
}

int cuModuleUnload(CUmodule module) {
  BEGIN;
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (const CUresult error = wait(finish_all()); error != CUDA_SUCCESS) return error;
  delete module;
  return CUDA_SUCCESS;
}

int cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  BEGIN;
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  *function = module->function(name);
  return *function == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}

int cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  BEGIN;
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  if (value < 0 || value > faults().most_shared_memory()) return CUDA_ERROR_INVALID_VALUE;
  function->most_dynamic_shared = size_t(value);
  return CUDA_SUCCESS;
}

// MARK: Launches

int cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream handle, void **arguments,
                   void **extra) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr || function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const auto refuse = [&](CUresult error, const std::string &why) {
    return complain(error, ("cuLaunchKernel of " + function->name).c_str(), why);
  };
  const uint64_t threads = uint64_t(block_x) * block_y * block_z;
  if (grid_x == 0 || grid_y == 0 || grid_z == 0 || threads == 0)
    return refuse(CUDA_ERROR_INVALID_VALUE, "a side of the grid or block is 0");
  if (grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535)
    return refuse(CUDA_ERROR_INVALID_VALUE, "the grid has more than 2147483647 × 65535 × 65535 blocks");
  if (block_x > 1024 || block_y > 1024 || block_z > 64 || threads > 1024)
    return refuse(CUDA_ERROR_INVALID_VALUE, "the block has more than 1024 threads (64 in z)");
  if (function->kernel->most_threads != 0 && threads > function->kernel->most_threads)
    return refuse(CUDA_ERROR_INVALID_VALUE, "the block has " + std::to_string(threads) + " threads, __launch_bounds__ says " +
                                                std::to_string(function->kernel->most_threads));
  if (shared_bytes > function->most_dynamic_shared)
    return refuse(CUDA_ERROR_INVALID_VALUE, std::to_string(shared_bytes) + " bytes of dynamic shared memory, " +
                                                std::to_string(function->most_dynamic_shared) +
                                                " are allowed (cuFuncSetAttribute)");
  if (extra != nullptr) return refuse(CUDA_ERROR_INVALID_VALUE, "`extra` is not supported");
  const mf_cpu_kernel &kernel = *function->kernel;
  if (kernel.argument_count > 0 && arguments == nullptr) return refuse(CUDA_ERROR_INVALID_VALUE, "no arguments");

  // Arguments are read now, wherever they lie later.
  std::vector<std::vector<char>> copies(kernel.argument_count);
  for (size_t i = 0; i < copies.size(); i++) {
    const char *from = static_cast<const char *>(arguments[i]);
    copies[i].assign(from, from + kernel.argument_sizes[i]);
  }
  return enqueue(stream, [=]() -> CUresult {
    if (const CUresult error = begin_launch(); error != CUDA_SUCCESS) return error;
    std::vector<void *> places;
    for (const std::vector<char> &copy : copies) places.push_back(const_cast<char *>(copy.data()));
    Launch launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, places.data());
    return launch.run();
  });
}
}
