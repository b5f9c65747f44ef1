/// Masks as ranges of keys: for each query (b, t) the first key that it sees and the one after the last, in the layout
/// (B, T, 2) of ``AttentionMask/ranges(_:)``.
package enum KeyRanges {
  /// Sequences of different lengths, padded at the end to `time`: every query sees the real tokens of its sequence.
  package static func padding(lengths: [Int], time: Int) -> [Int32] {
    make(batch: lengths.count, time: time) { b, _ in 0..<lengths[b] }
  }

  /// The first `prefixes[b]` tokens see each other both ways, the rest is causal.
  /// Raffel et al., "T5", arXiv:1910.10683, figure 4.
  package static func prefix(_ prefixes: [Int], time: Int) -> [Int32] {
    make(batch: prefixes.count, time: time) { b, t in 0..<max(prefixes[b], t + 1) }
  }

  /// Causal, and no further back than the last `window` tokens, the query's own included.
  package static func slidingWindow(_ window: Int, batch: Int, time: Int) -> [Int32] {
    make(batch: batch, time: time) { _, t in max(0, t + 1 - window)..<t + 1 }
  }

  /// Causal within documents packed into one row; `starts[b]` are the ascending positions at which documents begin.
  package static func documents(starts: [[Int]], time: Int) -> [Int32] {
    make(batch: starts.count, time: time) { b, t in (starts[b].last { $0 <= t } ?? 0)..<t + 1 }
  }

  private static func make(batch: Int, time: Int, _ range: (Int, Int) -> Range<Int>) -> [Int32] {
    var result: [Int32] = []
    result.reserveCapacity(batch * time * 2)
    for b in 0..<batch {
      for t in 0..<time {
        let keys = range(b, t)
        result.append(Int32(keys.lowerBound))
        result.append(Int32(keys.upperBound))
      }
    }
    return result
  }
}
