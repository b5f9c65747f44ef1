#include "launch.h"

#include <condition_variable>
#include <cstdio>
#include <thread>
#include <vector>

#include "block.h"
#include "faults.h"

namespace driver {

namespace {

/// Threads that live as long as the process: starting some for each launch would cost more than most launches.
class Pool {
 public:
  Pool() {
    for (unsigned i = 0; i < faults().workers; i++) std::thread([this] { work(); }).detach();
  }

  void run(Launch &launch) {
    std::unique_lock lock(mutex);
    current = &launch;
    generation++;
    busy = faults().workers;
    wake.notify_all();
    done.wait(lock, [this] { return busy == 0; });
    current = nullptr;
  }

 private:
  std::mutex mutex;
  std::condition_variable wake, done;
  Launch *current = nullptr;
  uint64_t generation = 0;
  unsigned busy = 0;

  void work() {
    Block block;
    for (uint64_t seen = 0;;) {
      Launch *launch;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation != seen; });
        seen = generation;
        launch = current;
      }
      block.prepare(*launch);
      for (uint64_t i; !launch->has_failed && (i = launch->next_block++) < launch->blocks();)
        block.run(faults().reversed ? launch->blocks() - 1 - i : i);
      std::lock_guard lock(mutex);
      if (--busy == 0) done.notify_all();
    }
  }
};

/// Never destroyed: its threads may wait in it when the process ends.
Pool &pool() {
  static Pool *pool = new Pool;
  return *pool;
}

}  // namespace

void Launch::fail(Failure failure) {
  std::lock_guard lock(mutex);
  if (first.error == CUDA_SUCCESS) first = std::move(failure);
  has_failed = true;
}

CUresult Launch::run() {
  first_epoch = Block::next_epochs();
  pool().run(*this);
  if (!has_failed) return CUDA_SUCCESS;
  std::fprintf(stderr, "CUDA driver for tests: kernel %s: %s\n", function->name.c_str(), first.text.c_str());
  if (first.code_address != 0) std::fputs(function->module->lines(first.code_address).c_str(), stderr);
  std::fflush(stderr);
  return first.error;
}

}  // namespace driver
