/// ROUGE-1, ROUGE-2 and ROUGE-L: F = 2 P R ÷ (P + R) of words, pairs of words and the longest common subsequence, 0 to
/// 1, as the package rouge-score computes them by default: no stemming, and of several references the best for each.
///
/// Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", WAS 2004.
enum ROUGE {
  /// A corpus has the mean of its examples.
  static func measure(_ predictions: [Prediction], _ tokenization: ROUGETokenization) -> Measure {
    Measure(means: ["rouge1", "rouge2", "rougeL"], rows: predictions.map { scores($0, tokenization) })
  }

  private static func scores(_ example: Prediction, _ tokenization: ROUGETokenization) -> [Double] {
    var words = WordNumbers()
    let texts = ([example.text] + example.references).map { words.numbers(of: tokenization.words($0)) }
    var (single, pairs, common) = (0.0, 0.0, 0.0)
    let ones = NGrams(texts)
    var twos = ones
    twos.lengthen()
    for (index, text) in texts.enumerated().dropFirst() {
      single = max(single, score(ones.counts(of: 0), ones.counts(of: index)))
      pairs = max(pairs, score(twos.counts(of: 0), twos.counts(of: index)))
      let length = longestCommonSubsequence(texts[0], text)
      common = max(common, score(length, of: texts[0].count, and: text.count))
    }
    return [single, pairs, common]
  }

  private static func score(_ a: [Int], _ b: [Int]) -> Double {
    score(NGrams.matches(a, b), of: a.reduce(0, +), and: b.reduce(0, +))
  }

  private static func score(_ matches: Int, of predicted: Int, and wanted: Int) -> Double {
    guard matches > 0 else { return 0 }
    let (precision, recall) = (Double(matches) / Double(predicted), Double(matches) / Double(wanted))
    return 2 * precision * recall / (precision + recall)
  }
}

/// How ROUGE cuts texts into words, once they are in lower case.
package enum ROUGETokenization: String, Sendable, CaseIterable {
  /// Runs of a to z and 0 to 9, as rouge-score has it; it doesn't see other scripts.
  case latin
  /// Ours: runs of any script's letters, marks and numbers; each ideograph and each kana is a word.
  case unicode

  func words(_ text: String) -> [ArraySlice<Unicode.Scalar>] {
    let lower = PythonText.lower(text)
    switch self {
    case .latin: return lower.split { !PythonText.isLatinLetterOrDigit($0) }
    case .unicode:
      return lower.split { !Self.isPart($0) }.flatMap { run in
        // Between two of which one stands alone, a word ends.
        var words: [ArraySlice<Unicode.Scalar>] = []
        var start = run.startIndex
        for index in run.indices.dropFirst() where Self.standsAlone(run[index]) || Self.standsAlone(run[index - 1]) {
          words.append(run[start..<index])
          start = index
        }
        words.append(run[start...])
        return words
      }
    }
  }

  private static func isPart(_ scalar: Unicode.Scalar) -> Bool {
    if PythonText.isWord(scalar) { return scalar != "_" }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: return true
    default: return false
    }
  }

  private static func standsAlone(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x3041...0x30FF, 0x3105...0x312F, 0x31A0...0x31BF, 0x31F0...0x31FF, 0xFF66...0xFF9F, 0x1B000...0x1B16F: true
    default: scalar.properties.isIdeographic
    }
  }
}
