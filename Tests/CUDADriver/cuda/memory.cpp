#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "faults.h"

namespace driver {

namespace {

void *reserve(size_t bytes) {
  void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::fprintf(stderr, "The driver for tests cannot reserve %zu bytes of addresses.\n", bytes);
    std::abort();
  }
  return p;
}

/// Gives whole pages inside a range back; they read as zeros then.
void release(void *from, size_t bytes) {
  constexpr size_t page = 4096;
  const size_t first = (reinterpret_cast<size_t>(from) + page - 1) / page * page;
  const size_t end = (reinterpret_cast<size_t>(from) + bytes) / page * page;
  if (end > first) madvise(reinterpret_cast<void *>(first), end - first, MADV_DONTNEED);
}

}  // namespace

Memory &Memory::shared() {
  static Memory memory;
  return memory;
}

Memory::Memory() {
  base = reinterpret_cast<size_t>(reserve(capacity));
  base = (base + 511) / 512 * 512;
  owner = static_cast<uint32_t *>(reserve(capacity / granule * sizeof(uint32_t)));
  shadow = static_cast<Cell *>(reserve(capacity / 2 * sizeof(Cell)));
  next = base + 512;
}

CUresult Memory::allocate(size_t bytes, bool is_pinned, size_t *address) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const size_t room = base + capacity - 512 - next;
  if (bytes > room || (!is_pinned && bytes > faults().memory - std::min(faults().memory, bytes_in_use)))
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address = next;
  allocations.push_back({next, bytes, is_pinned, false});
  const size_t first = (next - base) / granule, count = (bytes + granule - 1) / granule;
  std::fill_n(owner + first, count, uint32_t(allocations.size()));
  std::memset(reinterpret_cast<void *>(next), 0xff, bytes);
  // At least a granule of nobody's between two.
  next = (next + bytes + granule + 511) / 512 * 512;
  if (!is_pinned) bytes_in_use += bytes;
  return CUDA_SUCCESS;
}

CUresult Memory::free(size_t address, bool is_pinned) {
  if (!holds(address, 1)) return CUDA_ERROR_INVALID_VALUE;
  Allocation &a = allocations[owner[(address - base) / granule] - 1];
  if (a.address != address || a.is_pinned != is_pinned) return CUDA_ERROR_INVALID_VALUE;
  a.is_freed = true;
  if (!is_pinned) bytes_in_use -= a.bytes;
  release(reinterpret_cast<void *>(a.address), a.bytes);
  release(cells(a.address), a.bytes / 2 * sizeof(Cell));
  return CUDA_SUCCESS;
}

const Allocation *Memory::nearest(size_t address) const {
  auto after = std::upper_bound(allocations.begin(), allocations.end(), address,
                                [](size_t at, const Allocation &a) { return at < a.address; });
  return after == allocations.begin() ? nullptr : &*(after - 1);
}

std::string Memory::describe(size_t address) const {
  const auto allocation = [](const Allocation &a) { return "an allocation of " + std::to_string(a.bytes) + " bytes"; };
  constexpr size_t far = size_t(1) << 20;
  const Allocation *below = nearest(address);
  const Allocation *above = below == nullptr ? allocations.data() : below + 1;
  const bool has_above = above != allocations.data() + allocations.size();
  if (below != nullptr && address < below->address + below->bytes)
    return "at byte " + std::to_string(address - below->address) + " of " + allocation(*below) +
           (below->is_freed ? ", which was freed" : ", over whose end it reaches");
  const size_t past = below == nullptr ? far : address - below->address - below->bytes;
  const size_t before = has_above ? above->address - address : far;
  if (std::min(past, before) >= far) return "far from every allocation";
  return past <= before ? std::to_string(past) + " bytes past the end of " + allocation(*below)
                        : std::to_string(before) + " bytes before " + allocation(*above);
}

}  // namespace driver
