// A kernel's launch: a grid of blocks, spread over worker threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "module.h"

namespace driver {

struct Failure {
  CUresult error = CUDA_SUCCESS;
  std::string text;
  size_t code_address = 0;  // 0: nowhere in particular
};

class Launch {
 public:
  Launch(const CUfunc_st *function, dim3 grid, dim3 block, size_t shared_bytes, void *const *arguments)
      : function(function), grid(grid), block(block), shared_bytes(shared_bytes), arguments(arguments) {}

  const CUfunc_st *function;
  dim3 grid, block;
  size_t shared_bytes;
  void *const *arguments;

  /// Epochs below belong to earlier launches (checks.h).
  uint64_t first_epoch = 0;
  std::atomic<uint64_t> next_block{0};
  std::atomic<bool> has_failed{false};

  uint64_t blocks() const { return uint64_t(grid.x) * grid.y * grid.z; }
  void fail(Failure failure);

  /// Runs all blocks; on a failure reports it on stderr. Returns an error number.
  CUresult run();

 private:
  std::mutex mutex;
  Failure first;
};

}  // namespace driver
