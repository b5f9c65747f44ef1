// Random words that are a function of a key and a counter alone: Philox4x32-10.
//
// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// The high and low words of a·multiplier, lane by lane: two widening products of even and odd lanes.
MF_INLINE void philox_multiply(vu a, uint64_t multiplier, vu *high, vu *low) {
  const vl pairs = (vl)a, lower = (vl)(uint64_t)0xffffffffu, factor = (vl)multiplier;
  const vl even = (pairs & lower) * factor, odd = (pairs >> 32) * factor;
  *high = (vu)((even >> 32) | (odd & ~lower));
  *low = (vu)((even & lower) | (odd << 32));
}

/// Ten rounds on W counters at once; words[w] holds word w of each.
MF_INLINE void philox(vu words[4], uint64_t seed) {
  uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    vu high0, low0, high1, low1;
    philox_multiply(words[0], 0xD2511F53u, &high0, &low0);
    philox_multiply(words[2], 0xCD9E8D57u, &high1, &low1);
    words[0] = high1 ^ words[1] ^ key0;
    words[1] = low1;
    words[2] = high0 ^ words[3] ^ key1;
    words[3] = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

/// Counter-major order: lane l of words 0...3 goes to elements 4l...4l + 3 of the 4W words in `in_order`.
MF_INLINE void philox_in_order(const vu words[4], vu in_order[4]) {
  const vf low02 = v_interleave_low((vf)words[0], (vf)words[2]);
  const vf low13 = v_interleave_low((vf)words[1], (vf)words[3]);
  const vf high02 = v_interleave_high((vf)words[0], (vf)words[2]);
  const vf high13 = v_interleave_high((vf)words[1], (vf)words[3]);
  in_order[0] = (vu)v_interleave_low(low02, low13);
  in_order[1] = (vu)v_interleave_high(low02, low13);
  in_order[2] = (vu)v_interleave_low(high02, high13);
  in_order[3] = (vu)v_interleave_high(high02, high13);
}

/// Words from here on keep an element.
MF_INLINE uint32_t dropout_threshold(float rate) { return (uint32_t)((double)rate * 4294967296.0); }
