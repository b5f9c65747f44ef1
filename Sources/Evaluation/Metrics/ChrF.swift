/// chrF2 of a corpus, 0 to 100, as sacrebleu computes it by default: F = (1 + β²) P R ÷ (β² P + R), β = 2.
///
/// P and R are the means, over the orders 1 to 6 that both sides have, of the share of the predictions' character
/// n-grams that the reference has, and the other way round. White space doesn't count; of several references, each
/// example's best one does.
///
/// Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015.
enum ChrF {
  private static let maxOrder = 6
  private static let betaSquared = 4.0

  static func measure(_ predictions: [Prediction]) -> Measure {
    Measure(keys: ["chrf"], rows: predictions.map(statistics)) { sums, _ in [score(sums)] }
  }

  static func signature(_ predictions: [Prediction]) -> String {
    "nrefs:\(Prediction.referenceCount(predictions))|case:mixed|eff:yes|nc:\(maxOrder)|nw:0|space:no"
  }

  /// For each order the n-grams of the prediction, of the best reference, and those that match.
  private static func statistics(_ example: Prediction) -> [Double] {
    let texts = ([example.text] + example.references).map { text in
      text.unicodeScalars.lazy.filter { !PythonText.isSpace($0) }.map(\.value)
    }
    var candidates = [[Double]](repeating: [], count: texts.count - 1)
    var ngrams = NGrams(texts.map(Array.init))
    for order in 1...maxOrder {
      if order > 1 { ngrams.lengthen() }
      let predicted = ngrams.counts(of: 0)
      let total = predicted.reduce(0, +)
      for index in candidates.indices {
        let counts = ngrams.counts(of: index + 1)
        let wanted = counts.reduce(0, +)
        candidates[index] += [
          Double(wanted == 0 ? 0 : total), Double(wanted), Double(NGrams.matches(predicted, counts)),
        ]
      }
    }
    var best = (score: -1.0, statistics: [Double](repeating: 0, count: 3 * maxOrder))
    for candidate in candidates {
      let score = score(candidate)
      if score > best.score { best = (score, candidate) }
    }
    return best.statistics
  }

  private static func score(_ sums: [Double]) -> Double {
    var (precision, recall, orders) = (0.0, 0.0, 0.0)
    for order in 0..<maxOrder {
      let (predicted, wanted, matches) = (sums[3 * order], sums[3 * order + 1], sums[3 * order + 2])
      guard predicted > 0, wanted > 0 else { continue }
      precision += matches / predicted
      recall += matches / wanted
      orders += 1
    }
    guard precision + recall > 0 else { return 0 }
    precision /= orders
    recall /= orders
    return 100 * (1 + betaSquared) * precision * recall / (betaSquared * precision + recall)
  }
}
