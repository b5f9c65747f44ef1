import Tokenization
import Testing

@Suite("Pieces of long words")
struct MergeBoundariesTests {
  /// Words in which characters of one to four bytes stand side by side, some of them broken.
  private static func text(seed: UInt64, words: Int) -> [UInt8] {
    var random = Numbers(state: seed)
    let letters = Array("abé漢字學而時習之不亦說乎日本語かなабв𝔘𝔫שלו")
    var bytes: [UInt8] = []
    for _ in 0..<words {
      for _ in 0..<random.next() % 30 {
        let letter = letters[Int(random.next() % UInt64(min(letters.count, 5 + Int(random.next() % 30))))]
        bytes += Array(String(letter).utf8)
        if random.next() % 40 == 0 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
      }
      bytes.append(0x20)
    }
    return bytes
  }

  private struct Numbers: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
  }

  @Test("give the tokens that the whole words give", arguments: [300, 400, 600, 1500])
  func sameTokens(vocabularySize: Int) throws {
    var counts = WordCounts(pattern: .gpt2)
    Self.text(seed: 1, words: 3000).withUnsafeBytes { counts.add($0) }
    let tokenizer = try BPELearner(vocabularySize: vocabularySize).learn(from: counts)
    // Merging alone, one step after the other, as the definition has it.
    var ranks: [[UInt8]: Int] = [:]
    for id in 0..<Int32(tokenizer.vocabularySize) { ranks[tokenizer.token(id) ?? []] = Int(id) }
    func merged(_ word: ArraySlice<UInt8>) -> [Int32] {
      var parts = word.map { [$0] }
      while true {
        let found = parts.indices.dropLast().compactMap { place in
          ranks[parts[place] + parts[place + 1]].map { (rank: $0, place: place) }
        }
        guard let best = found.min(by: { ($0.rank, $0.place) < ($1.rank, $1.place) }) else { break }
        parts[best.place] += parts.remove(at: best.place + 1)
      }
      return parts.map { Int32(ranks[$0] ?? -1) }
    }
    for seed in 2..<6 as Range<UInt64> {
      let text = Self.text(seed: seed, words: 200)
      let words = text.withUnsafeBytes { PreTokenizer(.gpt2).words(of: $0) }
      #expect(words.contains { $0.count > 40 })
      #expect(tokenizer.encode(text, specialTokens: false) == words.flatMap { merged(text[$0]) })
    }
  }

  @Test("the table of classes is what Unicode says of every character")
  func classes() {
    for value in 0..<CharacterClassTable.limit + 1000 {
      let found = CharacterClassTable.shared[value]
      guard let scalar = Unicode.Scalar(value) else {
        #expect(found == .other)
        continue
      }
      let properties = scalar.properties
      // What the tables of tokenizers don't know yet.
      let isKnown = properties.age.map { $0.major <= 16 } ?? false
      let expected: CharacterClass =
        switch properties.generalCategory {
        case _ where properties.isWhitespace: .space
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
          isKnown ? .letter : .other
        case .decimalNumber, .letterNumber, .otherNumber: isKnown ? .number : .other
        default: .other
        }
      if found != expected { Issue.record("\(value): \(found), expected \(expected)") }
    }
  }
}
