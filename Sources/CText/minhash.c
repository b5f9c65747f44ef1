#include "CText.h"

// Compiled for several processors; the one at hand is chosen when the program is loaded.
#if defined(__x86_64__) && defined(__GLIBC__)
#define MF_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MF_CLONES
#endif

// Numbers that differ from each other in all bits (Steele et al., "Fast splittable pseudorandom number generators", 2014).
static uint64_t mixed(uint64_t index) {
  uint64_t value = (index + 1) * 0x9E3779B97F4A7C15;
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return value ^ value >> 31;
}

MF_CLONES void mf_min_hashes(const uint32_t *items, size_t count, uint32_t *minima) {
  uint32_t offsets[MF_MIN_HASHES], factors[MF_MIN_HASHES], least[MF_MIN_HASHES];
  for (int i = 0; i < MF_MIN_HASHES; i++) {
    offsets[i] = (uint32_t)(mixed((uint64_t)i) >> 32);
    factors[i] = (uint32_t)mixed((uint64_t)i) | 1;
    least[i] = UINT32_MAX;
  }
  for (size_t item = 0; item < count; item++) {
    const uint32_t value = items[item];
    for (int i = 0; i < MF_MIN_HASHES; i++) {
      uint32_t hash = (value + offsets[i]) * factors[i];
      hash = (hash ^ hash >> 15) * 0x2C1B3C6D;
      hash ^= hash >> 16;
      least[i] = hash < least[i] ? hash : least[i];
    }
  }
  for (int i = 0; i < MF_MIN_HASHES; i++) minima[i] = least[i];
}
