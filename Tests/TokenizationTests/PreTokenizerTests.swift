import Testing
import Tokenization

@Suite("PreTokenizer")
struct PreTokenizerTests {
  @Test(
    "cuts words as GPT-2's regular expression does",
    arguments: [
      ("It's  we'LL '\u{17f}o'sure\n", ["It", "'s", " ", " we", "'", "LL", " '", "\u{17f}o", "'s", "ure", "\n"]),
      ("a1234567 \u{663}\u{664}\u{665}\t\tx", ["a", "1234567", " \u{663}\u{664}\u{665}", "\t", "\t", "x"]),
      ("  \n\n  end  \r\n", ["  \n\n ", " end", "  \r\n"]),
      ("don't!'s ''t \u{2019}s", ["don", "'t", "!'", "s", " ''", "t", " \u{2019}", "s"]),
      ("日本語 テスト。\u{3000}はい\u{a0}x", ["日本語", " テスト", "。", "\u{3000}", "はい", "\u{a0}", "x"]),
      ("e\u{301} \u{301} ½²Ⅷ", ["e", "\u{301}", " \u{301}", " ½²Ⅷ"]),
      ("\u{1f468}\u{200d}\u{1f469} \u{200d} \u{feff}a", ["\u{1f468}\u{200d}\u{1f469}", " \u{200d}", " \u{feff}", "a"]),
      ("a \u{2028}\u{2028}b\u{85} \u{1c} c", ["a", " \u{2028}", "\u{2028}", "b", "\u{85}", " \u{1c}", " c"]),
      ("", []),
    ] as [(String, [String])])
  func gpt2(text: String, words: [String]) {
    #expect(PreTokenizer(.gpt2).words(of: text) == words)
  }

  @Test(
    "cuts words as cl100k's regular expression does",
    arguments: [
      ("It's  we'LL '\u{17f}o'sure\n", ["It", "'s", " ", " we", "'LL", " '", "\u{17f}o", "'s", "ure", "\n"]),
      ("x'\u{17f}e'Re'vE'k", ["x", "'\u{17f}", "e", "'Re", "'vE", "'k"]),
      ("a1234567 \u{663}\u{664}\u{665}\t\tx", ["a", "123", "456", "7", " ", "\u{663}\u{664}\u{665}", "\t", "\tx"]),
      ("  \n\n  end  \r\n", ["  \n\n", " ", " end", "  \r\n"]),
      ("日本語 テスト。\u{3000}はい\u{a0}x", ["日本語", " テスト", "。", "\u{3000}はい", "\u{a0}x"]),
      ("e\u{301}y \u{301} ½²Ⅷ4", ["e", "\u{301}y", " \u{301}", " ", "½²Ⅷ", "4"]),
      ("\tword !!\n\n\nx\r", ["\tword", " !!\n\n\n", "x", "\r"]),
      ("a \u{2028}\u{2028}b\u{85} \u{1c} c", ["a", " \u{2028}", "\u{2028}b", "\u{85}", " \u{1c}", " c"]),
    ] as [(String, [String])])
  func cl100k(text: String, words: [String]) {
    #expect(PreTokenizer(.cl100k).words(of: text) == words)
  }

  @Test("numbers come in runs of one, two or three digits")
  func digits() {
    #expect(PreTokenizer(.cl100k(digits: 1)).words(of: "12345") == ["1", "2", "3", "4", "5"])
    #expect(PreTokenizer(.cl100k(digits: 2)).words(of: "12345") == ["12", "34", "5"])
    #expect(PreTokenizer(.cl100k(digits: 3)).words(of: "12345") == ["123", "45"])
  }

  @Test("letters that came after Unicode 16 are no letters, as in Hugging Face's tables")
  func unicodeVersion() {
    // U+1C89 is of Unicode 16, U+088F of Unicode 17.
    #expect(PreTokenizer(.gpt2).words(of: "a\u{1c89}") == ["a\u{1c89}"])
    #expect(PreTokenizer(.gpt2).words(of: "a\u{88f}") == ["a", "\u{88f}"])
  }

  @Test("covers every text, each byte once, also where it is no UTF-8", arguments: [SplitPattern.gpt2, .cl100k, .none])
  func coversText(pattern: SplitPattern) {
    var generator = Seeded(1)
    for _ in 0..<3000 {
      var bytes = Array(randomText(&generator).utf8)
      for _ in 0..<Int.random(in: 0...3, using: &generator) where !bytes.isEmpty {
        bytes[Int.random(in: bytes.indices, using: &generator)] = .random(in: 0...255, using: &generator)
      }
      let words = bytes.withUnsafeBytes { PreTokenizer(pattern).words(of: $0) }
      var end = 0
      for word in words {
        #expect(word.lowerBound == end && !word.isEmpty)
        end = word.upperBound
      }
      #expect(end == bytes.count)
    }
  }

  @Test("knows the regular expressions that it writes, and nanochat's")
  func regexes() {
    for pattern in [SplitPattern.gpt2, .cl100k, .cl100k(digits: 1), .cl100k(digits: 2)] {
      #expect(pattern.regex.flatMap { SplitPattern(regex: $0) } == pattern)
    }
    let nanochat =
      #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
    #expect(SplitPattern(regex: nanochat) == .cl100k(digits: 2))
    #expect(SplitPattern(regex: #"\p{L}+"#) == nil)
  }
}
