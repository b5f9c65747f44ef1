/// How tokens become text where a token's text depends on its neighbours: the `decoder` of a tokenizer.json, step by step.
///
/// Each step turns tokens into tokens; the text is all that the last one gives. The steps are those of Hugging Face's
/// tokenizers.
struct TokenDecoding: Sendable, Equatable {
  enum Step: Sendable, Equatable {
    case replace([UInt8], with: [UInt8])
    /// <0x41> is the byte 0x41; bytes in a row that are no UTF-8 together are U+FFFD each.
    case byteFallback
    /// What comes behind sees one token.
    case fuse
    /// Takes at most `count` of a character from the start of a token.
    case strip([UInt8], count: Int)
    /// Marks become spaces; those of the first token are left out where text got one in front.
    case metaspace(mark: [UInt8], dropsFirst: Bool)
    /// Spaces between words; `tidies` takes back those before punctuation and inside of contractions.
    case wordPiece(prefix: [UInt8], tidies: Bool)
    /// Spaces between tokens, where a file has no decoder.
    case spaced
  }

  let steps: [Step]

  init(_ steps: [Step]) { self.steps = steps }

  /// What a token adds to a text, behind others.
  func text(of token: ArraySlice<UInt8>) -> [UInt8] {
    var decoder = TokenTextDecoder(self, continues: true, passesBytes: true)
    var text = decoder.append(token)
    text += decoder.finish()
    return text
  }

  /// The byte of a token such as <0x41>.
  static func byte(of token: some Collection<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token.dropFirst(5).first == UInt8(ascii: ">"),
      token.dropFirst(3).first != UInt8(ascii: "-")
    else { return nil }
    return UInt8(String(decoding: token.dropFirst(3).prefix(2), as: UTF8.self), radix: 16)
  }
}

/// Decodes one sequence of tokens, one after the other.
struct TokenTextDecoder: Sendable {
  private let steps: [TokenDecoding.Step]
  /// Whether bytes are let through as they come, whole characters or not.
  private let passesBytes: Bool
  /// Whether a step has met a token.
  private var hasBegun: [Bool]
  /// How many characters a step may yet take from the start of a fused text.
  private var left: [Int]
  private var bytes: [UInt8] = []
  private var output: [UInt8] = []

  /// - Parameters:
  ///   - continues: the first token is not the first of the text.
  ///   - passesBytes: the bytes of a character are let through one by one, else together when no more follow.
  init(_ decoding: TokenDecoding, continues: Bool = false, passesBytes: Bool = false) {
    steps = decoding.steps
    self.passesBytes = passesBytes
    hasBegun = Array(repeating: continues, count: steps.count)
    left = steps.map { step in
      if case .strip(_, let count) = step, !continues { count } else { 0 }
    }
  }

  /// The text that a token completes; often all of its own.
  mutating func append(_ token: ArraySlice<UInt8>) -> [UInt8] {
    push(token, through: 0)
    return taken()
  }

  mutating func finish() -> [UInt8] {
    if let step = steps.firstIndex(of: .byteFallback) { releaseBytes(at: step) }
    return taken()
  }

  private mutating func taken() -> [UInt8] {
    defer { output.removeAll(keepingCapacity: true) }
    return output
  }

  private mutating func push(_ token: ArraySlice<UInt8>, through step: Int) {
    guard step < steps.count else {
      output += token
      return
    }
    let isFirst = !hasBegun[step]
    hasBegun[step] = true
    let next = step + 1
    switch steps[step] {
    case .replace(let pattern, let replacement):
      push(replacing(pattern, with: replacement, in: token)?[...] ?? token, through: next)
    case .byteFallback:
      if let byte = TokenDecoding.byte(of: token) {
        if passesBytes { push([byte], through: next) } else { bytes.append(byte) }
      } else {
        releaseBytes(at: step)
        push(token, through: next)
      }
    case .fuse:
      push(token, through: next)
    case .strip(let character, let count):
      push(stripped(token, of: character, count: count, at: step), through: next)
    case .metaspace(let mark, let dropsFirst):
      let space: [UInt8] = isFirst && dropsFirst ? [] : [0x20]
      push(replacing(mark, with: space, in: token)?[...] ?? token, through: next)
    case .wordPiece(let prefix, let tidies):
      var text = Array(token)
      if !isFirst { text = token.starts(with: prefix) ? Array(token.dropFirst(prefix.count)) : [0x20] + token }
      push(tidies ? tidied(text)[...] : text[...], through: next)
    case .spaced:
      push(isFirst ? token : [0x20] + token, through: next)
    }
  }

  private mutating func stripped(
    _ token: ArraySlice<UInt8>, of character: [UInt8], count: Int, at step: Int
  ) -> ArraySlice<UInt8> {
    let isFused = steps[..<step].contains(.fuse)
    var allowed = isFused ? left[step] : count
    var rest = token
    while allowed > 0, rest.starts(with: character) {
      rest = rest.dropFirst(character.count)
      allowed -= 1
    }
    if isFused { left[step] = rest.isEmpty ? allowed : 0 }
    return rest
  }

  private mutating func releaseBytes(at step: Int) {
    guard !bytes.isEmpty else { return }
    let run = bytes
    bytes.removeAll(keepingCapacity: true)
    if String(validating: run, as: UTF8.self) != nil {
      push(run[...], through: step + 1)
    } else {
      for _ in run { push(Array("\u{FFFD}".utf8)[...], through: step + 1) }
    }
  }

  /// The places where English has no space though words were apart, in the order of Hugging Face's decoder.
  private static let tidying: [(from: [UInt8], to: [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

  private func tidied(_ text: [UInt8]) -> [UInt8] {
    guard text.contains(0x20) else { return text }
    return Self.tidying.reduce(text) { replacing($1.from, with: $1.to, in: $0) ?? $0 }
  }
}
