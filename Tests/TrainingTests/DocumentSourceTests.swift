import Models
import Testing
import Training

@Suite("Rows of documents")
struct DocumentSourceTests {
  /// One batch: two rows of 6 tokens; 0 ends a document.
  private final class Documents: BatchSource {
    var mask: MaskKind { .causal }
    var dataWaitSeconds: Double { 0 }
    func move(to place: DataPlace) {}
    func next(_ batch: TokenBatch) {
      let ids: [Int32] = [5, 6, 0, 7, 0, 8, 0, 0, 9, 9, 9, 9, 0]
      for index in 0..<12 { (batch.ids[index], batch.targets[index]) = (ids[index], ids[index + 1]) }
    }
  }

  private static func ranges(isBidirectional: Bool) throws -> (positions: [Int32], ranges: [[Int32]]) {
    let source = DocumentSource(Documents(), endOfText: 0, isBidirectional: isBidirectional)
    let batch = TokenBatch(rows: 2, time: 6, mask: source.mask)
    // What a batch before has left must not matter.
    for index in batch.positions.indices { batch.positions[index] = 99 }
    try source.next(batch)
    let ranges = (0..<12).map { [batch.ranges[2 * $0], batch.ranges[2 * $0 + 1]] }
    return (Array(batch.positions), ranges)
  }

  @Test("begin each document at position 0, with the end of the one before as its first token")
  func causal() throws {
    let (positions, ranges) = try Self.ranges(isBidirectional: false)
    #expect(positions == [0, 1, 0, 1, 0, 1, 0, 0, 1, 2, 3, 4])
    #expect(
      ranges == [
        [0, 1], [0, 2], [2, 3], [2, 4], [4, 5], [4, 6], [0, 1], [1, 2], [1, 3], [1, 4], [1, 5], [1, 6],
      ])
  }

  @Test("and rows of plain text are seen through a window, whatever the batch before has left")
  func window() throws {
    let source = DocumentSource(Documents(), endOfText: 0, isBidirectional: false)
    let batch = TokenBatch(rows: 2, time: 6, mask: .ranges)
    func row(_ row: Int) -> [[Int32]] {
      (6 * row..<6 * row + 6).map { [batch.ranges[2 * $0], batch.ranges[2 * $0 + 1]] }
    }
    try source.next(batch)
    batch.look(back: 2, isCausal: false)
    #expect(row(0) == [[0, 1], [0, 2], [2, 3], [2, 4], [4, 5], [4, 6]])
    #expect(row(1) == [[0, 1], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6]])
    for count in [2, 3, 6] {
      batch.look(back: count, isCausal: true)
      #expect(row(1) == (0..<6).map { [Int32(max(0, $0 + 1 - count)), Int32($0 + 1)] })
    }
  }

  @Test("let tokens of an encoder see all of their document")
  func bidirectional() throws {
    let (_, ranges) = try Self.ranges(isBidirectional: true)
    #expect(
      ranges == [
        [0, 2], [0, 2], [2, 4], [2, 4], [4, 6], [4, 6], [0, 1], [1, 6], [1, 6], [1, 6], [1, 6], [1, 6],
      ])
  }
}
