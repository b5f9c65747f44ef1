// The stacks of CUDA threads.
#pragma once

#include <cstddef>
#include <vector>

#include "fiber_switch.h"

namespace driver {

constexpr char too_little_stack[] = "needs more stack than the driver for tests has";

/// Room for the stacks of one block's threads, kept from block to block.
class Stacks {
 public:
  static constexpr size_t bytes = 128 << 10;  // a stack

  Stacks() = default;
  Stacks(const Stacks &) = delete;
  ~Stacks();

  /// Makes stack i ready to start `entry`, which must not return. Returns its place for mf_fiber_switch.
  void *prepare(size_t i, void (*entry)());

  /// False once something was written to the stack's far end: what lies beyond may be damaged.
  bool is_intact(size_t i) const;

  bool contains(size_t i, size_t address) const;

 private:
  // Below the lowest stack of a slab is room for what runs over it.
  static constexpr size_t stacks_a_slab = 32, slab_bytes = (stacks_a_slab + 1) * bytes;
  std::vector<char *> slabs;
  char *low_end(size_t i) const { return slabs[i / stacks_a_slab] + (1 + i % stacks_a_slab) * bytes; }
};

}  // namespace driver
