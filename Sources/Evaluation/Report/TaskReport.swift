import Compute
package import Corpus
import Formats
import Foundation

/// The page of `eval --report`: numbers with intervals, and texts side by side with what was expected.
package struct TaskReport: Sendable {
  private let title: String
  private let kind: TaskKind
  private let scores: MetricScores
  private let baseline: Baseline?
  private let answers: [TaskAnswer]

  private static let shown = 5
  private static let longestText = 1500

  package init(title: String, kind: TaskKind, scores: MetricScores, baseline: Baseline?, answers: [TaskAnswer]) {
    (self.title, self.kind, self.scores, self.baseline, self.answers) = (title, kind, scores, baseline, answers)
  }

  package var html: String {
    HTML.page(title: "Evaluation on \(title)", body: "\(cards)\n<h2>Scores</h2>\n\(table)\n\(notes)\n\(samples)")
  }

  private func text(_ value: Double, _ key: String) -> String {
    String(format: "%.\(MetricScores.digits(key))f", value)
  }

  private var cards: String {
    HTML.cards(
      scores.values.map { ($0.key, text($0.value, $0.key)) } + [("examples", HTML.grouped(scores.examples))])
  }

  private var table: String {
    let heads = ["metric", "value", "95 % interval"] + (baseline == nil ? [] : ["baseline"])
    return HTML.table(
      heads,
      scores.values.map { value in
        let interval = [value.interval.lowerBound, value.interval.upperBound].map { text($0, value.key) }
        let cells = [value.key, text(value.value, value.key), interval.joined(separator: " to ")]
        return HTML.row(cells + (baseline?.scores[value.key].map { [text($0.value, value.key)] } ?? []))
      })
  }

  private var notes: String {
    var notes = ["Intervals are percentiles of 1,000 resamples of the examples."]
    if let baseline { notes.append("The baseline always answers “\(baseline.answer)”, the most frequent answer.") }
    let cut = answers.count { $0.isCut }
    if cut > 0 { notes.append("\(HTML.grouped(cut)) prompts were too long for the model's context and were cut.") }
    notes += scores.signatures.map { "\($0.metric.rawValue): \($0.text)" }
    return notes.map { "<p class=\"note\">\(HTML.escaped($0))</p>" }.joined()
  }

  /// The best, the worst and some drawn at random, no example twice.
  private var samples: String {
    var generator = PhiloxGenerator(seed: 0)
    let order = answers.indices.sorted { (scores.perExample[$0], $1) > (scores.perExample[$1], $0) }
    let best = Array(order.prefix(min(Self.shown, (order.count + 1) / 2)))
    let rest = order.dropFirst(best.count)
    let worst = Array(rest.suffix(Self.shown).reversed())
    let others = rest.dropLast(worst.count).shuffled(using: &generator).prefix(Self.shown)
    return [("The best", best), ("The worst", worst), ("Some others", Array(others))]
      .filter { !$0.1.isEmpty }
      .map { "<h2>\($0.0)</h2>\n" + $0.1.map(sample).joined(separator: "\n") }.joined(separator: "\n")
  }

  private func sample(_ index: Int) -> String {
    let answer = answers[index]
    let key = scores.values.first?.key ?? ""
    return """
      <div class="sample"><div class="wide"><span>example \(index + 1), \(key) \
      \(text(scores.perExample[index], key))\(answer.isCut ? ", prompt cut" : "")</span>
      <pre>\(shortened(answer.prompt))</pre></div>
      <div><span>prediction</span><pre>\(shortened(answer.text))</pre></div>
      <div><span>expected</span><pre>\(answer.references.map(shortened).joined(separator: "\n— or —\n"))</pre></div></div>
      """
  }

  /// A long text's start and end.
  private func shortened(_ text: String) -> String {
    guard text.count > Self.longestText else { return HTML.escaped(text) }
    let half = Self.longestText / 2
    return HTML.escaped(text.prefix(half) + "\n […] \n" + text.suffix(half))
  }
}
