#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace driver {

namespace {
constexpr size_t canary_words = 8;
constexpr uint64_t canary = 0x6d6179666c790a55;
}  // namespace

Stacks::~Stacks() {
  for (char *slab : slabs) munmap(slab, slab_bytes);
}

void *Stacks::prepare(size_t i, void (*entry)()) {
  while (i / stacks_a_slab >= slabs.size()) {
    void *slab = mmap(nullptr, slab_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED) throw std::bad_alloc();
    slabs.push_back(static_cast<char *>(slab));
  }
  // Stacks would all begin in the same sets of the processor's caches: shifted, a block's threads fit side by side.
  char *low = low_end(i), *high = low + bytes - i % 32 * 1088;
  for (size_t word = 0; word < canary_words; word++) std::memcpy(low + 8 * word, &canary, 8);
  return mf_fiber_start(high, entry);
}

bool Stacks::is_intact(size_t i) const {
  for (size_t word = 0; word < canary_words; word++)
    if (std::memcmp(low_end(i) + 8 * word, &canary, 8) != 0) return false;
  return true;
}

bool Stacks::contains(size_t i, size_t address) const {
  return address - reinterpret_cast<size_t>(low_end(i)) < bytes;
}

}  // namespace driver
