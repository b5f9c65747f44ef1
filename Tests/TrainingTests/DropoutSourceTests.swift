import Compute
import Models
import Testing
import Tokenization
import Training

@Suite("Rows with BPE-dropout")
struct DropoutSourceTests {
  /// Rows of one text, one after the other.
  private final class TextRows: BatchSource {
    private let tokens: [Int32]
    private var row = 0

    init(_ tokens: [Int32]) { self.tokens = tokens }

    var mask: MaskKind { .causal }
    var dataWaitSeconds: Double { 0 }
    func move(to place: DataPlace) { row = place.row }

    func next(_ batch: TokenBatch) {
      for place in 0..<batch.rows * batch.time {
        let index = row * batch.time + place
        batch.ids[place] = tokens[index % tokens.count]
        batch.targets[place] = tokens[(index + 1) % tokens.count]
      }
      row += batch.rows
    }
  }

  private static let text = String(
    repeating: "the other weather was there, and they gathered in the north; ", count: 40)

  private static func tokenizer() throws -> Tokenizer {
    var counts = WordCounts(pattern: .gpt2)
    counts.add(text)
    return try BPELearner(vocabularySize: 300).learn(from: counts)
  }

  private static func rows(_ count: Int, rate: Double, from start: DataPlace = DataPlace()) throws -> [[Int32]] {
    let tokenizer = try tokenizer()
    let text = TextRows(tokenizer.encode(Self.text, specialTokens: false))
    let source = try DropoutSource(text, tokenizer, rate: rate, seed: 3)
    try source.move(to: start)
    let batch = TokenBatch(rows: 2, time: 32)
    var rows: [[Int32]] = []
    while rows.count < count {
      try source.next(batch)
      for row in 0..<2 {
        let part = row * 32..<(row + 1) * 32
        rows.append(Array(batch.ids[part]))
        #expect(
          Array(batch.targets[part].dropLast()) == Array(batch.ids[part].dropFirst()), "each the one before's target")
      }
    }
    return rows
  }

  @Test("are parts of the same text in other tokens")
  func text() throws {
    let tokenizer = try Self.tokenizer()
    let (plain, cut) = try (Self.rows(8, rate: 0), Self.rows(8, rate: 0.3))
    #expect(cut != plain)
    for (row, before) in zip(cut, plain) {
      #expect(tokenizer.decodeBytes(before).starts(with: tokenizer.decodeBytes(row)))
    }
  }

  @Test("are a function of their number and the order's seed")
  func place() throws {
    let rows = try Self.rows(8, rate: 0.3)
    #expect(try Self.rows(4, rate: 0.3, from: DataPlace(row: 4)) == Array(rows[4...]))
    #expect(try Self.rows(8, rate: 0.3, from: DataPlace(order: 1)) != rows)
  }
}
