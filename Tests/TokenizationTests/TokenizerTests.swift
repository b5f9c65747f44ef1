import Formats
import Testing
import Tokenization

@Suite("Tokenizer")
struct TokenizerTests {
  @Test("decode(encode(x)) is x, with and without special tokens", arguments: [SplitPattern.gpt2, .cl100k, .none])
  func roundTrips(pattern: SplitPattern) throws {
    let tokenizer = try learned(pattern)
    let encoder = Encoder(tokenizer)
    var generator = Seeded(2)
    for _ in 0..<2000 {
      let text = randomText(&generator)
      for specialTokens in [false, true] {
        let ids = encoder.encode(text, specialTokens: specialTokens)
        #expect(tokenizer.decodeBytes(ids) == Array(text.utf8))
        #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize })
      }
    }
  }

  @Test("any bytes come back, whole UTF-8 or not")
  func bytesRoundTrip() throws {
    let tokenizer = try learned(.cl100k)
    var generator = Seeded(3)
    for count in 0..<300 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      #expect(tokenizer.decodeBytes(tokenizer.encode(bytes, specialTokens: false)) == bytes)
    }
  }

  @Test("merges the lowest rank first and the leftmost of equals, in words of every length")
  func mergesByRank() throws {
    let tokenizer = try learned(.none)
    let ranks = mergeRanks(tokenizer)
    let encoder = Encoder(tokenizer)
    var generator = Seeded(4)
    for count in Array(1...40) + [100, 159, 160, 161, 200, 400, 1000] {
      for alphabet in ["aab", "the and of\n", "-=", "中文字"] {
        let text = String((0..<count).map { _ in alphabet.randomElement(using: &generator) ?? "a" })
        let expected = mergeSlowly(Array(text.utf8), ranks)
        #expect(encoder.encode(text, specialTokens: false).map { tokenizer.token($0) ?? [] } == expected)
        // Again, now from memory.
        #expect(encoder.encode(text, specialTokens: false).map { tokenizer.token($0) ?? [] } == expected)
      }
    }
  }

  @Test("remembered words give the same ids as new ones, however many there are")
  func cacheIsTransparent() throws {
    let tokenizer = try learned(.gpt2)
    let encoder = Encoder(tokenizer)
    var generator = Seeded(5)
    for _ in 0..<300 {
      let text = (0..<400).map { _ in String(Int.random(in: 0...99999, using: &generator), radix: 36) }
        .joined(separator: " ")
      #expect(encoder.encode(text, specialTokens: false) == tokenizer.encode(text, specialTokens: false))
    }
  }

  @Test("a single word of a megabyte is no trouble")
  func hugeWord() throws {
    let tokenizer = try learned(.gpt2)
    let word = String(repeating: "thea", count: 1 << 18)
    let ids = tokenizer.encode(word, specialTokens: false)
    #expect(tokenizer.decode(ids) == word)
    #expect(ids.count <= word.utf8.count / 2)
  }

  @Test("the end-of-text token is a token in a prompt, and text in data")
  func specialTokens() throws {
    let tokenizer = try learned(.gpt2)
    let text = "a<|endoftext|>b<|endof"
    #expect(tokenizer.endOfText == 0)
    let ids = tokenizer.encode(text, specialTokens: true)
    #expect(ids.filter { $0 == 0 }.count == 1)
    #expect(ids[1] == 0)
    #expect(!tokenizer.encode(text, specialTokens: false).contains(0))
    #expect(tokenizer.decode(ids) == text)
    #expect(tokenizer.decode(ids, skipSpecialTokens: true) == "ab<|endof")
    #expect(tokenizer.isSpecial(0))
    #expect(tokenizer.byteCount(0) == 0)
    #expect(tokenizer.byteCount(ids[0]) == 1)
  }

  @Test("added tokens: the longest at the leftmost place, taking whitespace along where they say so")
  func addedTokens() throws {
    var json = try learned(.gpt2).json()
    try edit(&json, "added_tokens") { tokens in
      tokens = .array(
        (tokens.array ?? []) + [
          addedToken(1000, "<a>"), addedToken(1001, "<a><b>"), addedToken(1002, "<l>", ["lstrip": true]),
          addedToken(1003, "<r>", ["rstrip": true]), addedToken(1004, "tool", ["special": false]),
        ])
    }
    let tokenizer = try Tokenizer(json: json)
    #expect(tokenizer.vocabularySize == 1005)
    func added(_ text: String, specialTokens: Bool = true) -> [Int32] {
      tokenizer.encode(text, specialTokens: specialTokens).filter { $0 >= 1000 }
    }
    #expect(added("x<a><b><a>") == [1001, 1000])
    #expect(tokenizer.encode(" \u{3000}<l>", specialTokens: true) == [1002])
    #expect(tokenizer.encode("<r> \n\t<l>", specialTokens: true) == [1003, 1002])
    #expect(added("<a>tool", specialTokens: false) == [1004])
    #expect(tokenizer.encode("<a> <l>", specialTokens: true) == [1000, 1002])
  }

  @Test("with NFC, canonically equal texts have equal ids, Hangul too")
  func normalizes() throws {
    var json = try learned(.cl100k).json()
    try edit(&json, "normalizer") { $0 = ["type": "NFC"] }
    let tokenizer = try Tokenizer(json: json)
    for (text, composed) in [
      ("e\u{301}", "\u{e9}"), ("\u{1100}\u{1161}\u{11a8}", "\u{ac01}"), ("\u{ac00}\u{11a8}", "\u{ac01}"),
      ("\u{ac00}\u{11a7}", "\u{ac00}\u{11a7}"), ("\u{1100}\u{1161}\u{11c3}", "\u{ac00}\u{11c3}"),
      ("\u{1100}\u{1176}", "\u{1100}\u{1176}"), ("\u{212b}", "\u{c5}"), ("a\u{315}\u{300}", "\u{e0}\u{315}"),
    ] {
      let decoded = tokenizer.decode(tokenizer.encode(text, specialTokens: false))
      #expect(Array(decoded.utf8) == Array(composed.utf8))
    }
  }

  @Test("with ignore_merges a word that is a token is that token")
  func ignoresMerges() throws {
    var json = try learned(.gpt2).json()
    try edit(&json, "model") { model in
      var vocabulary = model["vocab"]?.object ?? JSONObject()
      vocabulary["zqzqzq"] = 1000
      try edit(&model, "vocab") { $0 = .object(vocabulary) }
    }
    #expect(try Tokenizer(json: json).encode("zqzqzq", specialTokens: true).count > 1)
    try edit(&json, "model") { model in try edit(&model, "ignore_merges") { $0 = true } }
    #expect(try Tokenizer(json: json).encode("zqzqzq", specialTokens: true) == [1000])
  }

  @Test("ids without a token decode to nothing")
  func unknownIDs() throws {
    let tokenizer = try learned(.gpt2)
    #expect(tokenizer.decode([-1, 1_000_000, .max, .min]) == "")
    #expect(tokenizer.token(-1) == nil)
    #expect(tokenizer.token(1_000_000) == nil)
    #expect(tokenizer.byteCount(.max) == 0)
  }
}
