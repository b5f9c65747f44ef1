/// How BLEU cuts texts into words, by the names that sacrebleu has for it.
package enum BLEUTokenization: String, Sendable, CaseIterable {
  /// The script mteval-v13a of NIST: punctuation apart from words; for languages that put spaces between these.
  case v13a = "13a"
  /// Each Chinese character by itself, the rest as in 13a.
  case chinese = "zh"
  /// Each character by itself.
  case characters = "char"
  /// At white space alone.
  case none

  func words(_ text: String) -> [ArraySlice<Unicode.Scalar>] {
    switch self {
    case .v13a:
      PythonText.split(Self.separatePunctuation([" "] + Self.unescape(text) + [" "]))
    case .chinese:
      PythonText.split(Self.separatePunctuation(Self.separateChinese(Self.stripped(text))))
    case .characters:
      text.unicodeScalars.filter { !PythonText.isSpace($0) }.map { [$0] }
    case .none:
      PythonText.split(Array(text.unicodeScalars))
    }
  }

  // MARK: 13a

  /// Joins words that a line end broke, and reads the entities of SGML.
  private static func unescape(_ text: String) -> [Unicode.Scalar] {
    var scalars = Array(text.unicodeScalars)
    while let last = scalars.last, PythonText.isSpace(last) { scalars.removeLast() }
    for (sought, replacement) in [
      ("<skipped>", ""), ("-\n", ""), ("\n", " "), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"),
    ] {
      scalars = replacing(Array(sought.unicodeScalars), by: Array(replacement.unicodeScalars), in: scalars)
    }
    return scalars
  }

  private static func replacing(
    _ sought: [Unicode.Scalar], by replacement: [Unicode.Scalar], in text: [Unicode.Scalar]
  ) -> [Unicode.Scalar] {
    guard text.contains(sought[0]) else { return text }
    var result: [Unicode.Scalar] = []
    var index = 0
    while index < text.count {
      if text[index...].starts(with: sought) {
        result += replacement
        index += sought.count
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return result
  }

  /// ASCII's punctuation becomes words; period and comma only where no digit is on both sides, the hyphen behind a
  /// digit.
  private static func separatePunctuation(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
    func isPoint(_ scalar: Unicode.Scalar) -> Bool { scalar == "." || scalar == "," }
    var separated: [Unicode.Scalar] = []
    separated.reserveCapacity(2 * text.count)
    for scalar in text {
      switch scalar {
      case " "..."&", "("..."+", "/", ":"..."@", "["..."`", "{"..."~": separated += [" ", scalar, " "]
      default: separated.append(scalar)
      }
    }
    separated = replacingPairs(in: separated, where: { !isDigit($0) && isPoint($1) }) { [$0, " ", $1, " "] }
    separated = replacingPairs(in: separated, where: { isPoint($0) && !isDigit($1) }) { [" ", $0, " ", $1] }
    return replacingPairs(in: separated, where: { isDigit($0) && $1 == "-" }) { [$0, " ", $1, " "] }
  }

  /// Pairs don't overlap: what one has taken begins no other.
  private static func replacingPairs(
    in text: [Unicode.Scalar], where matches: (Unicode.Scalar, Unicode.Scalar) -> Bool,
    by replacement: (Unicode.Scalar, Unicode.Scalar) -> [Unicode.Scalar]
  ) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count + text.count / 4)
    var index = 0
    while index < text.count {
      if index + 1 < text.count, matches(text[index], text[index + 1]) {
        result += replacement(text[index], text[index + 1])
        index += 2
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return result
  }

  // MARK: zh

  private static func stripped(_ text: String) -> ArraySlice<Unicode.Scalar> {
    var scalars = Array(text.unicodeScalars)[...]
    while let last = scalars.last, PythonText.isSpace(last) { scalars.removeLast() }
    return scalars.drop(while: PythonText.isSpace)
  }

  private static func separateChinese(_ text: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    text.flatMap { isChinese($0) ? [" ", $0, " "] : [$0] }
  }

  /// What sacrebleu takes for Chinese. Its two ranges beyond U+FFFF are written so that they stand for U+2001–U+2A6D
  /// and a part of the radicals instead; scores are comparable only if we read them so as well.
  private static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x2001...0x2A6D, 0x2E80...0x2FDF, 0x2FF0...0x303F, 0x3100...0x312F, 0x31A0...0x31BF, 0x31C0...0x31EF,
      0x3200...0x33FF, 0x3400...0x4DB5, 0x4E00...0x9FBB, 0xF900...0xFA2D, 0xFA30...0xFA6A, 0xFA70...0xFAD9,
      0xFE10...0xFE1F, 0xFE30...0xFE4F, 0xFF00...0xFFEF:
      true
    default: false
    }
  }
}
