// Random words that are a function of a key and a counter alone: Philox4x32-10, as on the CPU.
//
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#ifndef MF_PHILOX_CUH
#define MF_PHILOX_CUH

struct philox_words {
  uint32_t word[4];
};

MF_DEVICE philox_words philox(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint64_t seed) {
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint64_t first = uint64_t(a) * 0xD2511F53u, second = uint64_t(c) * 0xCD9E8D57u;
    a = uint32_t(second >> 32) ^ b ^ key0;
    b = uint32_t(second);
    c = uint32_t(first >> 32) ^ d ^ key1;
    d = uint32_t(first);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return philox_words{{a, b, c, d}};
}

/// Words from here on keep an element.
MF_DEVICE uint32_t dropout_threshold(float rate) { return uint32_t(double(rate) * 4294967296.0); }

/// The four words for keys 4·⌊key/4⌋ and on of attention's query row (b·H + h)·T + i.
MF_DEVICE philox_words attention_words(uint32_t key, uint32_t row, uint32_t site, const mf_run &run) {
  return philox(key / 4, row, site, run.micro_step, run.seed);
}

#endif
