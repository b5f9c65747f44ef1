#pragma once

#include <stddef.h>
#include <stdint.h>

// Hashes of a signature: a multiple of the widest vector.
#define MF_MIN_HASHES 128

// Sets each of `minima` (MF_MIN_HASHES) to the least of a hash function of its own over the items; of none, to UINT32_MAX.
//
// Broder, "On the resemblance and containment of documents", 1997: the share of equal minima of two sets estimates the size of
// their intersection over that of their union.
void mf_min_hashes(const uint32_t *items, size_t count, uint32_t *minima);
