import Corpus
import Testing

@Suite("Order of rows")
struct RowOrderTests {
  @Test(
    "a permutation has every number once, for any count",
    arguments: [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097])
  func permutes(count: Int) {
    for epoch in 0..<3 {
      let permutation = Permutation(count: count, seed: 7, epoch: epoch)
      #expect(Set((0..<count).map { permutation[$0] }) == Set(0..<count))
    }
  }

  @Test("a permutation differs by seed and by epoch, and leaves few numbers in place")
  func differs() {
    let first = Permutation(count: 1000, seed: 1, epoch: 0)
    let others = [Permutation(count: 1000, seed: 2, epoch: 0), Permutation(count: 1000, seed: 1, epoch: 1)]
    for other in others { #expect((0..<1000).count { first[$0] == other[$0] } < 10) }
    #expect((0..<1000).count { first[$0] == $0 } < 10)
    // Neighbours don't stay neighbours.
    #expect((0..<999).count { abs(first[$0] - first[$0 + 1]) == 1 } < 15)
  }

  @Test("in sequence, row i is tokens iT to iT + T, never across shards, and then it wraps")
  func sequential() {
    let order = RowOrder(.sequential, counts: [11, 3, 9, 8], context: 4, seed: 5)
    // 11 tokens have rows at 0 and 4; 3 have none; 9 have 0 and 4; 8 have only 0, whose last target is token 4.
    #expect(order.rowsPerEpoch == 5)
    let rows = (0..<7).map { order[$0] }
    #expect(rows.map(\.shard) == [0, 0, 2, 2, 3, 0, 0])
    #expect(rows.map(\.start) == [0, 4, 0, 4, 0, 0, 4])
  }

  @Test("shuffled, each pass has every row of each shard once, inside the shard", arguments: [1, 3, 8])
  func shuffled(context: Int) {
    let counts = [100, 5, 9, 2 * context, 333, context + 1]
    let order = RowOrder(.shuffled, counts: counts, context: context, seed: 3)
    #expect(order.rowsPerEpoch > 0)
    for epoch in 0..<5 {
      let rows = (0..<order.rowsPerEpoch).map { order[epoch * order.rowsPerEpoch + $0] }
      #expect(Set(rows).count == rows.count)
      for (shard, count) in counts.enumerated() {
        let starts = rows.filter { $0.shard == shard }.map(\.start).sorted()
        for start in starts { #expect(start >= 0 && start + context + 1 <= count) }
        for (a, b) in zip(starts, starts.dropFirst()) { #expect(b - a == context) }
        if count > context { #expect(starts.count >= max(1, count / context - 1)) }
      }
    }
  }

  @Test("shuffled, passes cut the text at different places")
  func offsets() {
    let order = RowOrder(.shuffled, counts: [10_000], context: 64, seed: 1)
    let offsets = Set((0..<20).map { order[$0 * order.rowsPerEpoch].start % 64 })
    #expect(offsets.count > 10)
  }

  @Test("too few tokens make no rows")
  func tooFew() {
    #expect(RowOrder(.sequential, counts: [4, 0], context: 4, seed: 0).rowsPerEpoch == 0)
    #expect(RowOrder(.shuffled, counts: [], context: 4, seed: 0).rowsPerEpoch == 0)
    // One row that just fits is the only one there is, in any pass.
    let shuffled = RowOrder(.shuffled, counts: [5], context: 4, seed: 0)
    let sequential = RowOrder(.sequential, counts: [5], context: 4, seed: 0)
    #expect(shuffled[123] == sequential[0])
  }
}
