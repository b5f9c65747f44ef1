import Evaluation
import Formats
import Training

/// Runs side by side: what was set differently, and what came of it.
struct RunComparison {
  let runs: [RunRecord]

  /// Losses of all runs at a point that each has reached.
  struct Point {
    /// Seconds, or tokens.
    let place: Double
    /// For each run; nil: nothing is known there.
    let train: [Double?]
    let val: [Double?]
  }

  /// Keys whose values differ, each with the value in every run; nil: not set there.
  var settings: [(key: String, values: [String?])] {
    SettingKey.all.compactMap { key in
      let values = runs.map { $0.settings[key.name] }
      return Set(values).count > 1 ? (key.name, values) : nil
    }
  }

  /// When the shortest run was over.
  var atEqualTime: Point? {
    point(reached: { $0.elapsed }, update: { $0.elapsed }, evaluation: { $1.elapsed })
  }

  /// Where the run of the fewest tokens was over.
  var atEqualTokens: Point? {
    point(
      reached: { Double($0.lastUpdate?.tokens ?? 0) }, update: { Double($0.tokens) },
      evaluation: { history, evaluation in
        guard let last = history.lastUpdate, last.step > 0 else { return 0 }
        return Double(evaluation.step) * Double(last.tokens) / Double(last.step)
      })
  }

  private func point(
    reached: (RunHistory) -> Double, update: (RunHistory.Update) -> Double,
    evaluation: (RunHistory, RunHistory.Evaluation) -> Double
  ) -> Point? {
    let place = runs.map { reached($0.history) }.min() ?? 0
    guard place > 0 else { return nil }
    return Point(
      place: place,
      train: runs.map { run in Self.mean(run.history.updates.map { (update($0), $0.loss) }, upTo: place) },
      val: runs.map { run in
        Self.interpolated(run.history.evaluations.map { (evaluation(run.history, $0), $0.loss) }, at: place)
      })
  }

  /// Single updates jump: the mean of the last twentieth.
  private static func mean(_ values: [(x: Double, y: Double)], upTo place: Double) -> Double? {
    let before = values.filter { $0.x <= place && $0.y.isFinite }
    let late = before.filter { $0.x > 0.95 * place }
    let used = late.isEmpty ? Array(before.suffix(1)) : late
    return used.isEmpty ? nil : used.reduce(0) { $0 + $1.y } / Double(used.count)
  }

  /// On the line between the neighbours; behind the last, that one's. Nil before the first.
  private static func interpolated(_ values: [(x: Double, y: Double)], at place: Double) -> Double? {
    guard let before = values.last(where: { $0.x <= place }) else { return nil }
    guard let after = values.first(where: { $0.x > place }) else { return before.y }
    return before.y + (after.y - before.y) * (place - before.x) / (after.x - before.x)
  }

  var json: JSON {
    func numbers(_ values: [Double?]) -> JSON { .array(values.map { value in value.map { .number($0) } ?? .null }) }
    func losses(_ point: Point?, _ place: String) -> JSON {
      guard let point else { return .null }
      var fields = JSONObject()
      fields[place] = .number(point.place)
      fields["train_loss"] = numbers(point.train)
      fields["val_loss"] = numbers(point.val)
      return .object(fields)
    }
    var differing = JSONObject()
    for (key, values) in settings {
      differing[key] = .array(values.map { value in value.map { .string($0) } ?? .null })
    }
    return [
      "runs": .array(runs.map(\.json)), "settings": .object(differing),
      "at_equal_time": losses(atEqualTime, "elapsed_seconds"), "at_equal_tokens": losses(atEqualTokens, "tokens"),
    ]
  }

  var text: String {
    func text(_ value: Double?, _ digits: Int = 4) -> String { value.map { fixed($0, digits) } ?? "–" }
    var table = TextTable(heads: [""] + runs.map(\.name), left: [0])
    for (key, values) in settings { table.rows.append([key] + values.map { $0 ?? "–" }) }
    func row(_ name: String, _ value: (RunRecord) -> String) { table.rows.append([name] + runs.map(value)) }
    row("state") { $0.state.rawValue }
    row("steps") { $0.history.lastUpdate.map { "\($0.step)" } ?? "–" }
    row("tokens") { $0.history.lastUpdate.map { compact(Double($0.tokens)) } ?? "–" }
    row("parameters") { $0.history.parameters.map { compact(Double($0)) } ?? "–" }
    row("time") { formatDuration($0.history.elapsed) }
    row("final validation loss") { text($0.history.lastEvaluation?.loss) }
    row("best validation loss") { text($0.history.bestEvaluation?.loss) }
    row("best bits per byte") { text($0.history.bestEvaluation?.bitsPerByte, 3) }
    for (point, name) in [
      (atEqualTime, atEqualTime.map { "at \(formatDuration($0.place))" }),
      (atEqualTokens, atEqualTokens.map { "at \(compact($0.place)) tokens" }),
    ] {
      guard let point, let name else { continue }
      table.rows.append(["training loss \(name)"] + point.train.map { text($0) })
      table.rows.append(["validation loss \(name)"] + point.val.map { text($0) })
    }
    return table.text
  }
}
