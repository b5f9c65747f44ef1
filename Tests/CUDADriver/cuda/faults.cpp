#include "faults.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace driver {

namespace {

int64_t number(const char *name, int64_t otherwise) {
  const char *text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtoll(text, nullptr, 10);
}

Faults read() {
  Faults f{};
  f.devices = int(number("MAYFLY_TEST_CUDA_DEVICES", 1));
  f.driver_version = int(number("MAYFLY_TEST_CUDA_DRIVER", 13000));
  f.major = 8;
  if (const char *text = std::getenv("MAYFLY_TEST_CUDA_CAPABILITY")) std::sscanf(text, "%d.%d", &f.major, &f.minor);
  f.multiprocessors = int(number("MAYFLY_TEST_CUDA_MULTIPROCESSORS", 4));
  f.memory = size_t(number("MAYFLY_TEST_CUDA_MEMORY", int64_t(8) << 30));
  if (const char *text = std::getenv("MAYFLY_TEST_CUDA_FAIL")) {
    f.failing_launch = std::strtoll(text, nullptr, 10);
    const char *colon = std::strchr(text, ':');
    f.failing_error = colon == nullptr ? CUDA_ERROR_LAUNCH_FAILED : std::atoi(colon + 1);
  }
  f.hanging_launch = number("MAYFLY_TEST_CUDA_HANG", 0);
  // Each worker keeps stacks for a block's threads.
  f.workers = unsigned(number("MAYFLY_TEST_CUDA_WORKERS", std::clamp(int(std::thread::hardware_concurrency()), 1, 32)));
  f.workers = std::max(f.workers, 1u);
  const char *order = std::getenv("MAYFLY_TEST_CUDA_ORDER");
  f.reversed = order != nullptr && std::strcmp(order, "reversed") == 0;
  return f;
}

}  // namespace

const Faults &faults() {
  static const Faults f = read();
  return f;
}

int Faults::most_shared_memory() const {
  const int kilobytes = major == 7                                ? 64
                        : major == 8 && (minor == 0 || minor == 7) ? 163
                        : major == 9 || major == 10               ? 227
                                                                  : 99;
  return kilobytes * 1024;
}

}  // namespace driver
