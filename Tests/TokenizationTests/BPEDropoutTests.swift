import Testing
import Tokenization

@Suite("BPE-dropout")
struct BPEDropoutTests {
  private let tokenizer: Tokenizer

  init() throws { tokenizer = try learned(.cl100k(digits: 3)) }

  private func encode(_ tokens: [Int32], rate: Double, seed: UInt64 = 1) throws -> [Int32] {
    var chance = Seeded(seed)
    var result: [Int32] = [7]
    try BPEDropout(tokenizer, rate: rate).encode(tokens, into: &result, using: &chance)
    return result
  }

  @Test("cuts the same text otherwise each time, special tokens left as they are")
  func sameText() throws {
    let endOfText = try #require(tokenizer.endOfText)
    for seed in 1...40 as ClosedRange<UInt64> {
      var generator = Seeded(seed)
      let text = randomText(&generator)
      let tokens =
        tokenizer.encode(text, specialTokens: false) + [endOfText] + tokenizer.encode("end", specialTokens: false)
      let others = try encode(tokens, rate: 0.3, seed: seed)
      #expect(tokenizer.decodeBytes(others) == tokenizer.decodeBytes(tokens))
      #expect(others.filter { $0 == endOfText }.count == tokens.filter { $0 == endOfText }.count)
      #expect(others.count >= tokens.count)
      #expect(try encode(tokens, rate: 0.3, seed: seed) == others, "a function of the seed")
    }
  }

  @Test("leaves tokens as they are at a rate of 0, and only bytes at 1")
  func ends() throws {
    let text = "There were there other words than these, and the other ones were theirs."
    let tokens = tokenizer.encode(text, specialTokens: false)
    #expect(try encode(tokens, rate: 0) == tokens)
    #expect(try encode(tokens, rate: 1).count == text.utf8.count)
    let counts = try [0.1, 0.3, 0.6].map { try encode(tokens, rate: $0).count }
    #expect(counts == counts.sorted() && counts[0] >= tokens.count && counts[2] > counts[0])
  }

  @Test("leaves a merge out as often as asked")
  func frequency() throws {
    // One word whose only merge is "th", or what is the first of its bytes' merges: done or not.
    var (whole, tries) = (0, 0)
    var chance = Seeded(5)
    let pair = tokenizer.encode("th", specialTokens: false)
    guard pair.count == 1 else { return }
    let dropout = try BPEDropout(tokenizer, rate: 0.25)
    var result: [Int32] = []
    for _ in 0..<4000 {
      dropout.encode(pair, into: &result, using: &chance)
      whole += result.count == 1 ? 1 : 0
      tries += 1
    }
    #expect(abs(Double(whole) / Double(tries) - 0.75) < 0.03)
  }
}
