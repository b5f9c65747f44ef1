import Evaluation
import Formats

/// The values of metrics, for people and for programs.
struct ScoreOutput {
  let scores: MetricScores

  /// A key for each value; then intervals, the number of examples and signatures.
  var json: JSONObject {
    var (members, intervals, signatures) = (JSONObject(), JSONObject(), JSONObject())
    for value in scores.values {
      members[value.key] = .number(value.value)
      intervals[value.key] = [.number(value.interval.lowerBound), .number(value.interval.upperBound)]
    }
    for signature in scores.signatures { signatures[signature.metric.rawValue] = .string(signature.text) }
    members["intervals"] = .object(intervals)
    members["examples"] = JSON(scores.examples)
    if !signatures.isEmpty { members["signatures"] = .object(signatures) }
    return members
  }

  func print() throws {
    for value in scores.values {
      let name = value.key.padding(to: 12)
      try Output.line("\(name)\(text(value.value, value.key))   95 %: \(range(value))")
    }
    try Output.line("\("examples".padding(to: 12))\(scores.examples)")
    for signature in scores.signatures { try Output.line("\(signature.metric.rawValue): \(signature.text)") }
  }

  private func text(_ value: Double, _ key: String) -> String { fixed(value, MetricScores.digits(key)) }

  private func range(_ value: MetricScores.Value) -> String {
    "\(text(value.interval.lowerBound, value.key)) to \(text(value.interval.upperBound, value.key))"
  }
}

extension String {
  fileprivate func padding(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}
