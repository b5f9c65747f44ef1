// How accesses are remembered, so that two that nothing orders are found.
//
// A record is 64 bits: epoch (40) · thread in block (10) · how often its lane has passed __syncwarp in the epoch (11) ·
// is atomic (1) · which of the cell's two bytes (2). Epochs are numbers that no other block and barrier has: a block
// takes 2¹⁴ of them and uses the next after each __syncthreads. So a record says by itself whether it is of an earlier
// launch (an epoch below the launch's first), of this block (within its numbers), of the time before the last barrier
// (another of its numbers), or of the same time: then only the same thread, or a __syncwarp between, orders it.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "kernel_interface.h"

namespace driver {

constexpr uint64_t epochs_a_block = 1 << 14;
constexpr unsigned clock_limit = 2046;
// In a write's clock: a copy that is under way.
constexpr unsigned clock_of_copy = 2047;

constexpr uint64_t pack(uint64_t epoch, unsigned thread, unsigned clock) {
  return epoch << 24 | uint64_t(thread) << 14 | uint64_t(clock) << 3;
}
constexpr uint64_t atomic_bit = 4, byte_bits = 3;
constexpr uint64_t epoch_of(uint64_t record) { return record >> 24; }
constexpr unsigned thread_of(uint64_t record) { return record >> 14 & 1023; }
constexpr unsigned clock_of(uint64_t record) { return record >> 3 & 2047; }

inline bool is_same(const mf_cpu_place &a, const mf_cpu_place &b) {
  return a.line == b.line && std::strcmp(a.what, b.what) == 0 && std::strcmp(a.file, b.file) == 0;
}

inline std::string words(const mf_cpu_place &place) {
  return std::string(place.what) + " (" + place.file + ":" + std::to_string(place.line) + ")";
}

}  // namespace driver
