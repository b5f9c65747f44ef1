package import Corpus
package import Formats

/// What always giving the most frequent answer of a file would reach: what a model must beat.
package struct Baseline: Sendable {
  package let answer: String
  package let scores: MetricScores

  /// Nil where answers are texts of their own, such as summaries.
  package init?(_ kind: TaskKind, _ predictions: [Prediction], _ metrics: [Metric], _ options: MetricOptions) {
    guard [.classify, .choice, .qa].contains(kind) else { return nil }
    let answers = predictions.map { $0.references.first ?? "" }
    let counts = Dictionary(answers.map { (Array($0.utf8), 1) }, uniquingKeysWith: +)
    // Of answers equally frequent, the first one in the file.
    let most = counts.values.max() ?? 0
    answer = answers.first { counts[Array($0.utf8)] == most } ?? ""
    let answer = answer
    scores = MetricScores(metrics, of: predictions.map { Prediction(answer, references: $0.references) }, options)
  }

  package var json: JSON {
    var members = JSONObject()
    members["answer"] = .string(answer)
    for value in scores.values { members[value.key] = .number(value.value) }
    return .object(members)
  }

  package var text: String {
    "always '\(answer.prefix(40))' would give "
      + scores.values.map { "\($0.key) \(($0.value * 10_000).rounded() / 10_000)" }.joined(separator: ", ")
  }
}
