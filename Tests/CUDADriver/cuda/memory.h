// Device memory: one reserved range of addresses in which no address is ever used twice.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "CUDADriver.h"

namespace driver {

struct Allocation {
  size_t address, bytes;
  bool is_pinned;  // of cuMemAllocHost: kernels and the processor see it
  bool is_freed;
};

/// What is remembered of accesses to two neighbouring bytes: records as checks.h packs them.
struct Cell {
  std::atomic<uint64_t> write, reads[2];
};

class Memory {
 public:
  static constexpr size_t capacity = size_t(64) << 30;

  /// Memory starts with all bits set: what reads it before writing gets NaNs.
  CUresult allocate(size_t bytes, bool is_pinned, size_t *address);
  CUresult free(size_t address, bool is_pinned);

  bool contains(size_t address) const { return address - base < capacity; }

  /// The allocation at or closest below an address of this range; null below the first.
  const Allocation *nearest(size_t address) const;

  /// Whether `bytes` bytes at `address` lie in one allocation that is in use.
  bool holds(size_t address, size_t bytes) const {
    if (!contains(address)) return false;
    const uint32_t number = owner[(address - base) / granule];
    if (number == 0) return false;
    const Allocation &a = allocations[number - 1];
    return !a.is_freed && address >= a.address && bytes <= a.bytes && address - a.address <= a.bytes - bytes;
  }
  bool is_pinned(size_t address) const { return holds(address, 1) && nearest(address)->is_pinned; }

  Cell *cells(size_t address) const { return shadow + (address - base) / 2; }
  /// In words: where an address lies that is not `holds`.
  std::string describe(size_t address) const;

  size_t in_use() const { return bytes_in_use; }

  static Memory &shared();

 private:
  Memory();
  static constexpr size_t granule = 256;

  size_t base = 0, next = 0, bytes_in_use = 0;
  uint32_t *owner = nullptr;  // of each granule: 1 + the number of its allocation; 0: none
  Cell *shadow = nullptr;
  std::vector<Allocation> allocations;  // by address
};

}  // namespace driver
