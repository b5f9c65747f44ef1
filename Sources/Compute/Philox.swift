/// Counter-based random numbers: a pure function of (key, counter), so that they never depend on order or thread.
///
/// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, doi:10.1145/2063384.2063405.
package struct Philox: Sendable {
  private let key: SIMD2<UInt32>

  package init(seed: UInt64) {
    key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
  }

  /// Four words for one counter.
  package func words(_ counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
    var key = key
    var state = counter
    for _ in 0..<10 {
      let first = UInt64(state.x) * 0xD251_1F53
      let second = UInt64(state.z) * 0xCD9E_8D57
      state = SIMD4(
        UInt32(truncatingIfNeeded: second >> 32) ^ state.y ^ key.x, UInt32(truncatingIfNeeded: second),
        UInt32(truncatingIfNeeded: first >> 32) ^ state.w ^ key.y, UInt32(truncatingIfNeeded: first))
      key = key &+ SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return state
  }

  /// Word `index` of a stream.
  package func word(_ index: UInt64, stream: UInt32 = 0, step: UInt32 = 0) -> UInt32 {
    let block = index / 4
    let counter = SIMD4(UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32), stream, step)
    return words(counter)[Int(index % 4)]
  }

  /// A number in [0, 1) with 24 random bits.
  package func uniform(_ index: UInt64, stream: UInt32 = 0, step: UInt32 = 0) -> Float {
    Float(word(index, stream: stream, step: step) >> 8) * 0x1p-24
  }
}

/// A sequence of Philox words, for code that wants a `RandomNumberGenerator`.
package struct PhiloxGenerator: RandomNumberGenerator, Sendable {
  private let philox: Philox
  private let stream: UInt32
  private let step: UInt32
  private var index: UInt64 = 0

  package init(seed: UInt64, stream: UInt32 = 0, step: UInt32 = 0) {
    philox = Philox(seed: seed)
    self.stream = stream
    self.step = step
  }

  package mutating func next() -> UInt64 {
    let low = philox.word(index, stream: stream, step: step)
    let high = philox.word(index + 1, stream: stream, step: step)
    index += 2
    return UInt64(high) << 32 | UInt64(low)
  }
}
