import Foundation

/// BLEU = BP · exp(¼ Σ ln pₙ) of a corpus, 0 to 100, as sacrebleu computes it by default.
///
/// pₙ is the share of the predictions' n-grams, n = 1 to 4, that a reference has; orders without a match count as if
/// they had ½, ¼, … of one ("exp" smoothing). BP = exp(1 − r ÷ c) where the predictions have fewer words (c) than the
/// references closest in length (r), else 1.
///
/// Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002; Post, "A Call for
/// Clarity in Reporting BLEU Scores", arXiv:1804.08771.
enum BLEU {
  private static let maxOrder = 4

  static func measure(_ predictions: [Prediction], _ tokenization: BLEUTokenization) -> Measure {
    Measure(keys: ["bleu"], rows: predictions.map { statistics($0, tokenization) }) { sums, _ in [score(sums)] }
  }

  static func signature(_ predictions: [Prediction], _ tokenization: BLEUTokenization) -> String {
    "nrefs:\(Prediction.referenceCount(predictions))|case:mixed|eff:no|tok:\(tokenization.rawValue)|smooth:exp"
  }

  /// c, r, then matches and n-grams of each order.
  private static func statistics(_ example: Prediction, _ tokenization: BLEUTokenization) -> [Double] {
    var words = WordNumbers()
    let texts = ([example.text] + example.references).map { words.numbers(of: tokenization.words($0)) }
    let length = texts[0].count
    let closest = texts.dropFirst().map(\.count).min { (abs($0 - length), $0) < (abs($1 - length), $1) } ?? 0
    var (matches, totals): ([Double], [Double]) = ([], [])
    var ngrams = NGrams(texts)
    for order in 1...maxOrder {
      if order > 1 { ngrams.lengthen() }
      var most = [Int](repeating: 0, count: ngrams.counts(of: 0).count)
      for text in texts.indices.dropFirst() {
        for (number, count) in ngrams.counts(of: text).enumerated() { most[number] = max(most[number], count) }
      }
      matches.append(Double(NGrams.matches(ngrams.counts(of: 0), most)))
      totals.append(Double(max(0, length - order + 1)))
    }
    return [Double(length), Double(closest)] + matches + totals
  }

  private static func score(_ sums: [Double]) -> Double {
    let (length, closest) = (sums[0], sums[1])
    let (matches, totals) = (sums[2..<2 + maxOrder], sums[(2 + maxOrder)...])
    guard matches.contains(where: { $0 > 0 }), totals.allSatisfy({ $0 > 0 }) else { return 0 }
    var logarithms = 0.0
    var smoothing = 1.0
    for (matches, total) in zip(matches, totals) {
      if matches == 0 { smoothing /= 2 }
      logarithms += log(100 * (matches == 0 ? smoothing : matches) / total)
    }
    let penalty = length < closest ? exp(1 - closest / length) : 1
    return penalty * exp(logarithms / Double(maxOrder))
  }
}
