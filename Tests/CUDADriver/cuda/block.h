// A block of threads, run by one worker: fibers, barriers, a warp's common operations, shared memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"
#include "launch.h"
#include "memory.h"

namespace driver {

/// A copy to shared memory that is under way (cp.async).
struct Copy {
  char *shared;
  const char *global;
  size_t bytes, valid;
  unsigned group;
};

struct Thread {
  enum State { ready, at_barrier, in_warp, returned };

  void *place = nullptr;  // its stack, while another thread runs
  mf_cpu_thread self{};
  unsigned number = 0;  // in the block
  State state = ready;
  mf_cpu_place waits_at{};

  // While in_warp:
  unsigned mask = 0;
  mf_cpu_collective all = nullptr;
  void *mine = nullptr;

  uint64_t record = 0;  // how checks.h remembers an access of now
  std::vector<Copy> copies;
  unsigned open_group = 0;
};

struct Warp {
  unsigned alive = 0, waiting = 0;  // a bit a lane

  // How often lane j has passed __syncwarp since the last barrier, as lane i knows it: what j did before is ordered
  // before what i does now. Valid in one epoch.
  uint64_t epoch = 0;
  uint16_t seen[32][32];
};

class Block {
 public:
  Block();

  /// Before the first block of a launch on this worker.
  void prepare(Launch &launch);
  void run(uint64_t index);

  // Called by the running thread:
  int barrier(bool predicate, const mf_cpu_place &place);
  void warp(unsigned mask, mf_cpu_collective all, void *mine, const mf_cpu_place &place);
  void copy_async(char *shared, const char *global, size_t bytes, size_t valid, size_t code_address);
  void copy_commit() { running->open_group++; }
  void copy_wait(unsigned groups_under_way);
  void check(size_t address, size_t bytes, mf_cpu_access kind, size_t code_address, bool is_copy = false);
  [[noreturn]] void fail(CUresult error, std::string text, size_t code_address = 0);

  Thread *running = nullptr;
  char *dynamic_shared = nullptr;
  unsigned alive_lanes() const { return warps[running->number / 32].alive; }

  /// The first of numbers that no other block has; 2¹⁴ of them.
  static uint64_t next_epochs();
  /// The calling worker's block; null outside of kernels.
  static thread_local Block *current;

 private:
  Launch *launch = nullptr;
  Stacks stacks;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  unsigned count = 0, alive = 0;
  void *scheduler = nullptr;
  bool has_failed = false;

  // The barrier that threads wait at.
  unsigned arrived = 0;
  int votes = 0, result = 0;
  mf_cpu_place barrier_place{};

  // Shared memory and what was done to it.
  std::unique_ptr<char[]> shared_room;
  char *static_shared = nullptr;
  std::vector<Cell> dynamic_cells, static_cells;

  // Time as checks see it: an epoch between two barriers.
  uint64_t first_epoch = 0, barriers = 0;
  uint64_t epoch() const;
  void renew_records();
  void renew_record(Thread &thread);
  void join(Warp &warp, unsigned mask);
  bool is_ordered(uint64_t record, uint64_t floor) const;

  void yield();
  bool complete(Warp &warp, unsigned mask);
  void thread_returns();
  static void run_thread();
  std::string deadlock() const;

  std::string who(unsigned thread) const;
  void check_cells(Cell *cells, size_t address, size_t bytes, mf_cpu_access kind, bool is_shared, size_t code_address,
                   bool is_copy);
  [[noreturn]] void report_race(uint64_t record, bool was_write, mf_cpu_access kind, size_t bytes, size_t address,
                                bool is_shared, size_t code_address);
  [[noreturn]] void report_stray(size_t address, size_t bytes, mf_cpu_access kind, size_t code_address);
};

}  // namespace driver
