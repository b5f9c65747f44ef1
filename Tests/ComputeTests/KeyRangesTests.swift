import Compute
import Testing

@Suite("Masks as ranges of keys")
struct KeyRangesTests {
  private static let time = 9

  /// Compares ranges with a mask that is written down key by key.
  private func expect(
    _ ranges: [Int32], batch: Int, sees: (_ b: Int, _ query: Int, _ key: Int) -> Bool
  ) {
    let time = Self.time
    #expect(ranges.count == batch * time * 2)
    for b in 0..<batch {
      for query in 0..<time {
        let index = 2 * (b * time + query)
        let range = Int(ranges[index])..<Int(ranges[index + 1])
        for key in 0..<time { #expect(range.contains(key) == sees(b, query, key), "\(b), \(query), \(key)") }
      }
    }
  }

  @Test("padding: everybody sees the real tokens of the sequence")
  func padding() {
    let lengths = [9, 1, 4]
    expect(KeyRanges.padding(lengths: lengths, time: Self.time), batch: 3) { b, _, key in key < lengths[b] }
  }

  @Test("prefix: both ways within it, then causal")
  func prefix() {
    let prefixes = [0, 1, 5, 9]
    expect(KeyRanges.prefix(prefixes, time: Self.time), batch: 4) { b, query, key in
      key <= query || (query < prefixes[b] && key < prefixes[b])
    }
  }

  @Test("sliding window: causal, and no further back", arguments: [1, 3, 9, 20])
  func slidingWindow(window: Int) {
    expect(KeyRanges.slidingWindow(window, batch: 2, time: Self.time), batch: 2) { _, query, key in
      key <= query && query - key < window
    }
  }

  @Test("documents: causal within each")
  func documents() {
    let starts = [[0, 3, 4], [0], [2, 8]]
    func document(_ b: Int, _ t: Int) -> Int { starts[b].filter { $0 <= t }.count }
    expect(KeyRanges.documents(starts: starts, time: Self.time), batch: 3) { b, query, key in
      key <= query && document(b, query) == document(b, key)
    }
  }
}
