import Formats
import Testing
import Tokenization

@Suite("BPELearner")
struct BPELearnerTests {
  @Test("numbers the special token, the bytes in the order of their characters, then the merges")
  func numbersTokens() throws {
    var counts = WordCounts(pattern: .gpt2)
    counts.add("abab abab cab")
    let tokenizer = try BPELearner(vocabularySize: 300).learn(from: counts)
    #expect(tokenizer.token(0) == Array("<|endoftext|>".utf8))
    #expect(tokenizer.token(1) == [0x21])
    #expect(tokenizer.token(94) == [0x7E])
    #expect(tokenizer.token(95) == [0xA1])
    #expect(tokenizer.token(189) == [0x00])
    #expect(tokenizer.token(256) == [0xAD])
    // Five times "ab", twice "abab"; then all pairs are there once, and the space (Ġ) has a higher id than letters.
    let merged = (257..<Int32(tokenizer.vocabularySize)).compactMap { tokenizer.token($0) }
    #expect(merged.map { String(decoding: $0, as: UTF8.self) } == ["ab", "abab", "cab", " abab", " cab"])
  }

  @Test("gives the merges that counting anew after every merge gives", arguments: [SplitPattern.gpt2, .cl100k, .none])
  func agreesWithDefinition(pattern: SplitPattern) throws {
    var generator = Seeded(8)
    for _ in 0..<25 {
      let alphabet = ["ab", "a ", "abc d", "中文 字", "-=\n"].randomElement(using: &generator) ?? "ab"
      var counts = WordCounts(pattern: pattern)
      var words: [[UInt8]] = []
      for _ in 0..<5 {
        let length = Int.random(in: 1...300, using: &generator)
        let text = String((0..<length).map { _ in alphabet.randomElement(using: &generator) ?? "a" })
        counts.add(text)
        words += PreTokenizer(pattern).words(of: text).map { Array($0.utf8) }
      }
      let tokenizer = try BPELearner(vocabularySize: 290).learn(from: counts)
      let tokens = (257..<Int32(tokenizer.vocabularySize)).map { tokenizer.token($0) ?? [] }
      let byteIDs = Dictionary(uniqueKeysWithValues: (1...256).map { (tokenizer.token($0) ?? [], Int32($0)) })
      #expect(tokens == learnSlowly(words, count: 290 - 257, ids: byteIDs))
    }
  }

  /// The definition: count all pairs, merge the most frequent one (the lower ids of equals), begin again.
  private func learnSlowly(_ words: [[UInt8]], count: Int, ids: [[UInt8]: Int32]) -> [[UInt8]] {
    var ids = ids
    var words = words.map { word in word.map { [$0] } }
    var learned: [[UInt8]] = []
    while learned.count < count {
      var counts: [[[UInt8]]: Int] = [:]
      for word in words {
        for (left, right) in zip(word, word.dropFirst()) { counts[[left, right], default: 0] += 1 }
      }
      func precedes(_ a: (key: [[UInt8]], value: Int), _ b: (key: [[UInt8]], value: Int)) -> Bool {
        if a.value != b.value { return a.value > b.value }
        return a.key.compactMap { ids[$0] }.lexicographicallyPrecedes(b.key.compactMap { ids[$0] })
      }
      guard let best = counts.min(by: precedes)?.key else { break }
      let merged = best[0] + best[1]
      ids[merged] = Int32(257 + learned.count)
      learned.append(merged)
      for index in words.indices {
        var place = 0
        while place + 1 < words[index].count {
          if words[index][place] == best[0], words[index][place + 1] == best[1] {
            words[index].replaceSubrange(place...place + 1, with: [merged])
          }
          place += 1
        }
      }
    }
    return learned
  }

  @Test("counts of parts, merged in any order, give the same vocabulary")
  func mergesCounts() throws {
    let lines = sampleText.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) + "\n" }
    var whole = WordCounts(pattern: .cl100k)
    for line in lines { whole.add(line) }
    var parts = [WordCounts(pattern: .cl100k), WordCounts(pattern: .cl100k), WordCounts(pattern: .cl100k)]
    for (index, line) in lines.enumerated() { parts[index * 7 % 3].add(line) }
    var merged = parts[2]
    merged.merge(parts[0])
    merged.merge(parts[1])
    #expect(merged.count == whole.count)
    let learner = try BPELearner(vocabularySize: 400)
    #expect(try learner.learn(from: merged).json() == learner.learn(from: whole).json())
  }

  @Test("stops early where the text has no more pairs, or where told to")
  func stopsEarly() throws {
    var counts = WordCounts(pattern: .gpt2)
    #expect(try BPELearner(vocabularySize: 5000).learn(from: counts).vocabularySize == 257)
    counts.add("abc")
    #expect(try BPELearner(vocabularySize: 5000).learn(from: counts).vocabularySize == 259)
    #expect(try BPELearner(vocabularySize: 5000, minimumFrequency: 2).learn(from: counts).vocabularySize == 257)
    counts.add(sampleText)
    let stopped = try BPELearner(vocabularySize: 5000).learn(from: counts) { $0 < 300 }
    #expect((300...400).contains(stopped.vocabularySize))
  }

  @Test("refuses a vocabulary smaller than the bytes and special tokens, or absurdly large")
  func refusesSizes() {
    #expect(throws: TokenizationError.vocabularyTooSmall(asked: 256, minimum: 257)) {
      try BPELearner(vocabularySize: 256)
    }
    #expect(throws: TokenizationError.self) { try BPELearner(vocabularySize: .max) }
    #expect(throws: TokenizationError.self) { try BPELearner(vocabularySize: .min) }
  }
}
