/// What predictions can be measured by.
package enum Metric: String, Sendable, CaseIterable {
  case bleu, chrf, rouge
  case exactMatch = "exact_match"
  case f1, accuracy

  /// "bleu, chrf, …", for messages.
  package static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

  func measure(_ predictions: [Prediction], _ options: MetricOptions) -> Measure {
    switch self {
    case .bleu: BLEU.measure(predictions, options.bleuTokenization)
    case .chrf: ChrF.measure(predictions)
    case .rouge: ROUGE.measure(predictions, options.rougeTokenization)
    case .exactMatch: AnswerMatch.exactMatch(predictions)
    case .f1: AnswerMatch.f1(predictions)
    case .accuracy: Classification.measure(predictions)
    }
  }

  /// What makes two scores comparable, as sacrebleu writes it; nil where there is nothing to choose.
  func signature(_ predictions: [Prediction], _ options: MetricOptions) -> String? {
    switch self {
    case .bleu: BLEU.signature(predictions, options.bleuTokenization) + "|version:\(options.version)"
    case .chrf: ChrF.signature(predictions) + "|version:\(options.version)"
    case .rouge: "tok:\(options.rougeTokenization.rawValue)|stem:no|version:\(options.version)"
    case .exactMatch, .f1, .accuracy: nil
    }
  }
}

/// What can be chosen about metrics.
package struct MetricOptions: Sendable {
  package var bleuTokenization = BLEUTokenization.v13a
  package var rougeTokenization = ROUGETokenization.latin
  /// The program's name and version, for signatures.
  package var version = "mayfly"

  package init() {}
}

/// The values of metrics over predictions, each with its interval.
package struct MetricScores: Sendable {
  package struct Value: Sendable, Equatable {
    package let key: String
    package let value: Double
    /// 95 %.
    package let interval: ClosedRange<Double>
  }

  package let examples: Int
  package let values: [Value]
  package let signatures: [(metric: Metric, text: String)]
  /// The first value of each example alone: which went well, and which didn't.
  package let perExample: [Double]

  package init(_ metrics: [Metric], of predictions: [Prediction], _ options: MetricOptions = MetricOptions()) {
    let measures = metrics.map { $0.measure(predictions, options) }
    let all = Array(predictions.indices)
    examples = predictions.count
    values = zip(measures, Bootstrap.intervals(measures)).flatMap { measure, intervals in
      zip(zip(measure.keys, measure.values(all)), intervals).map { Value(key: $0.0, value: $0.1, interval: $1) }
    }
    signatures = metrics.compactMap { metric in
      metric.signature(predictions, options).map { (metric, $0) }
    }
    perExample = measures.first.map { measure in all.map { measure.values([$0]).first ?? 0 } } ?? []
  }

  package subscript(key: String) -> Value? { values.first { $0.key == key } }

  /// Digits worth showing: BLEU and chrF go to 100, the others to 1.
  package static func digits(_ key: String) -> Int { ["bleu", "chrf"].contains(key) ? 2 : 4 }
}
