// fp16 and bf16 by search among all values: slow, and independent of what is tested.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

inline float half_value(uint16_t h, bool is_bf16) {
  if (is_bf16) {
    const uint32_t bits = uint32_t(h) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  const float magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                          : exponent == 0 ? std::ldexp(float(fraction), -24)
                                          : std::ldexp(float(fraction + 1024), exponent - 25);
  return h >> 15 ? -magnitude : magnitude;
}

/// The nearest half of a finite number; of two the even one. What is nearer to the power of two that would come after
/// the largest becomes infinite.
inline uint16_t nearest_half(float x, bool is_bf16) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinity = is_bf16 ? 0x7f80 : 0x7c00;
  const double magnitude = std::fabs(double(x));
  uint16_t low = 0, high = infinity;
  while (high - low > 1) {
    const uint16_t middle = uint16_t((low + high) / 2);
    (double(half_value(middle, is_bf16)) <= magnitude ? low : high) = middle;
  }
  const double above = high == infinity ? std::ldexp(1.0, is_bf16 ? 128 : 16) : double(half_value(high, is_bf16));
  const double to_low = magnitude - double(half_value(low, is_bf16)), to_high = above - magnitude;
  return sign | (to_low < to_high || (to_low == to_high && low % 2 == 0) ? low : high);
}
