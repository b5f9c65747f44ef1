// What the tests do as a host does: open the libraries, compile, copy, launch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

extern "C" {
#include "CUDADriver.h"
}

/// Ends a case with a message; its process is its own.
[[noreturn]] void fail_test(const char *file, int line, const std::string &text);

#define EXPECT(condition) \
  if (!(condition)) fail_test(__FILE__, __LINE__, #condition)
#define EXPECT_EQUAL(a, b)                                                                                    \
  do {                                                                                                        \
    const auto left = (a);                                                                                    \
    const auto right = (b);                                                                                   \
    if (!(left == right))                                                                                     \
      fail_test(__FILE__, __LINE__, #a " is " + std::to_string(left) + ", not " + std::to_string(right));     \
  } while (0)
#define OK(call) EXPECT_EQUAL(call, 0)

extern mf_cuda cuda;
extern mf_nvrtc nvrtc;
extern mf_cublaslt cublaslt;
extern CUstream stream;

/// From the folder under test.
void *open_library(const char *name);

/// Opens all three libraries and makes `stream`.
void open_device();

/// Compiles a kernel text and opens it. Headers are (name, text).
CUmodule compile(const std::string &text, const std::vector<std::string> &options = {},
                 const std::vector<std::pair<std::string, std::string>> &headers = {});
/// The log of a text that must not compile.
std::string log_of_failure(const std::string &text, const std::vector<std::string> &options = {}, int error = 6);
CUfunction function(CUmodule module, const char *name);

/// Device memory with a copy of values.
template <typename T>
CUdeviceptr upload(const std::vector<T> &values) {
  CUdeviceptr address = 0;
  OK(cuda.cuMemAlloc_v2(&address, values.size() * sizeof(T)));
  OK(cuda.cuMemcpyHtoDAsync_v2(address, values.data(), values.size() * sizeof(T), stream));
  return address;
}

template <typename T>
std::vector<T> download(CUdeviceptr address, size_t count) {
  std::vector<T> values(count);
  OK(cuda.cuMemcpyDtoHAsync_v2(values.data(), address, count * sizeof(T), stream));
  OK(cuda.cuStreamSynchronize(stream));
  return values;
}

/// Launches with these arguments; returns what the launch and the wait after it gave.
template <typename... Arguments>
int launch(CUfunction function, unsigned grid, unsigned block, unsigned shared_bytes, Arguments... arguments) {
  void *places[sizeof...(Arguments) + 1] = {&arguments..., nullptr};
  const int error = cuda.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared_bytes, stream, places, nullptr);
  return error != 0 ? error : cuda.cuStreamSynchronize(stream);
}

// MARK: Cases

struct Case {
  std::string name;
  void (*run)();
  std::string reported{};  // must stand on stderr; nothing may if this is empty
  std::vector<std::pair<std::string, std::string>> environment{};
};

struct Register {
  explicit Register(Case c);
};

/// A case: TEST(name, "text on stderr", {{"VARIABLE", "value"}}) { … }
#define TEST(name, ...)                                                  \
  static void test_##name();                                             \
  static const Register register_##name({#name, test_##name __VA_OPT__(, ) __VA_ARGS__}); \
  static void test_##name()
