// Rounding by chance, so that the mean of what is kept in bf16 is what fp32 would have. The words are those of the CPU.
#ifndef MF_CHANCE_CUH
#define MF_CHANCE_CUH

/// Words without visible order for words in any order. Wellons, "Prospecting for Hash Functions", 2018: lowbias32.
MF_DEVICE uint32_t hash(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}

/// Rounds up where the bits that are lost and `random`, below 2¹⁶, carry: as often as the number is nearer to there.
MF_DEVICE float round_by_chance(float x, uint32_t random) { return as_float((as_bits(x) + random) & 0xffff0000u); }

#endif
