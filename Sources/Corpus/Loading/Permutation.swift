/// A shuffled order of 0 ..< count that is computed, not stored: any place of it costs the same few operations.
///
/// A Feistel network permutes the numbers below the next power of four; where it leaves 0 ..< count, it is applied
/// again until it is back in (cycle walking), which takes fewer than four rounds on average.
///
/// Black & Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002.
package struct Permutation {
  private let count: UInt64
  private let halfBits: UInt64
  private let key: UInt64

  private static let rounds: UInt64 = 6

  /// The order that belongs to a seed and the number of a pass over the data.
  package init(count: Int, seed: UInt64, epoch: Int) {
    precondition(count > 0)
    self.count = UInt64(count)
    let bits = UInt64.bitWidth - (UInt64(count) - 1).leadingZeroBitCount
    halfBits = UInt64(max(1, (bits + 1) / 2))
    key = scrambled(scrambled(seed) ^ UInt64(epoch))
  }

  /// What stands at a place of the order.
  package subscript(place: Int) -> Int {
    precondition(place >= 0 && place < count)
    var value = UInt64(place)
    repeat { value = permuted(value) } while value >= count
    return Int(value)
  }

  private func permuted(_ value: UInt64) -> UInt64 {
    let mask: UInt64 = (1 << halfBits) - 1
    var left = value >> halfBits
    var right = value & mask
    for round in 0..<Self.rounds {
      // A round number in the high byte keeps the rounds' functions apart.
      let mixed = left ^ (scrambled(key ^ right ^ (round + 1) << 56) & mask)
      (left, right) = (right, mixed)
    }
    return left << halfBits | right
  }
}

/// A bijection of 64 bits in which every bit depends on every other: the finaliser of SplitMix64.
///
/// Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
func scrambled(_ value: UInt64) -> UInt64 {
  var value = value &+ 0x9E37_79B9_7F4A_7C15
  value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
  value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
  return value ^ value >> 31
}
