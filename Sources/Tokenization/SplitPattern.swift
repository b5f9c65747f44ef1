/// How text is cut into words before byte-pair merging: the regular expressions of well-known tokenizers, each
/// matched by hand in ``PreTokenizer``.
package enum SplitPattern: Hashable, Sendable {
  /// GPT-2's: contractions in lower case, a space goes with the word behind it.
  case gpt2
  /// GPT-4's and its kin: contractions in any case, any one character goes with the letters behind it, numbers in
  /// runs of at most `digits` (3 in cl100k and Llama 3, 2 in nanochat, 1 in Qwen2 and Qwen3), line ends together.
  case cl100k(digits: Int)
  /// No cut at all: a whole text is one word.
  case none

  /// cl100k's own, with numbers in threes.
  package static let cl100k = SplitPattern.cl100k(digits: 3)

  /// The pattern that a regular expression of a tokenizer.json stands for; nil if it is none of the known ones.
  package init?(regex: String) {
    if regex == Self.gpt2Regex {
      self = .gpt2
      return
    }
    let digits = (1...3).first { regex == Self.cl100kRegex(digits: $0) || regex == Self.possessiveRegex(digits: $0) }
    guard let digits else { return nil }
    self = .cl100k(digits: digits)
  }

  /// The regular expression as other tools write it; nil for ``none``.
  package var regex: String? {
    switch self {
    case .gpt2: Self.gpt2Regex
    case .cl100k(let digits): Self.cl100kRegex(digits: digits)
    case .none: nil
    }
  }

  /// What may be asked for, in words, for messages.
  package static let supported = "GPT-2's, cl100k's (Llama 3), Qwen2's and nanochat's"

  private static let gpt2Regex = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private static func cl100kRegex(digits: Int) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numberRegex(digits)
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  /// The same language in possessive form: no alternative gains from giving back what it took, and `\s*[\r\n]` ends
  /// where `\s*[\r\n]+` does.
  private static func possessiveRegex(digits: Int) -> String {
    #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|"# + numberRegex(digits)
      + #"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
  }

  private static func numberRegex(_ digits: Int) -> String {
    digits == 1 ? #"\p{N}"# : #"\p{N}{1,\#(digits)}"#
  }
}
