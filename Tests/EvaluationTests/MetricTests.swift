import Evaluation
import Testing

@Suite("Metrics")
struct MetricTests {
  private func scores(_ metric: Metric, _ pairs: [(String, [String])], _ options: MetricOptions = MetricOptions())
    -> MetricScores
  {
    MetricScores([metric], of: pairs.map { Prediction($0.0, references: $0.1) }, options)
  }

  @Test("give a perfect prediction the whole score, and an empty one none", arguments: Metric.allCases)
  func extremes(metric: Metric) {
    let text = "the quick brown fox jumps"
    for value in scores(metric, [(text, [text])]).values {
      #expect(abs(value.value - (["bleu", "chrf"].contains(value.key) ? 100 : 1)) < 1e-9)
    }
    for value in scores(metric, [("", [text])]).values { #expect(value.value == 0) }
  }

  @Test("compare characters as they are written, not as they look")
  func normalization() {
    #expect(scores(.accuracy, [("é", ["e\u{301}"])])["accuracy"]?.value == 0)
    #expect(scores(.exactMatch, [("é", ["e\u{301}"])])["exact_match"]?.value == 0)
  }

  @Test("take the best of several references")
  func references() {
    for metric in Metric.allCases {
      let both = scores(metric, [("a white cat sat down", ["no", "a white cat sat down"])])
      #expect((both.values.first?.value ?? 0) > 0.99)
    }
  }

  @Test("know that a question has no answer")
  func noAnswer() {
    let result = scores(.f1, [("", [""]), ("the", ["", "..."]), ("something", [""])])
    #expect(result.perExample == [1, 1, 0])
  }

  @Test("see other scripts if ROUGE is told so")
  func scripts() {
    let pair = [("北京大学在北京", ["北京大学"])]
    #expect(scores(.rouge, pair)["rouge1"]?.value == 0)
    var options = MetricOptions()
    options.rougeTokenization = .unicode
    let value = scores(.rouge, pair, options)["rouge1"]?.value ?? 0
    #expect(abs(value - 2 * 4.0 / 11) < 1e-12)
  }

  @Test("find the longest common subsequence across words of 64 bits")
  func longSubsequence() {
    let words = (0..<200).map { "w\($0)" }
    let prediction = words.enumerated().filter { $0.offset % 3 != 0 }.map(\.element).joined(separator: " ")
    let kept = 200 - 67
    let value = scores(.rouge, [(prediction, [words.joined(separator: " ")])])["rougeL"]?.value ?? 0
    #expect(abs(value - 2 * Double(kept) / Double(200 + kept)) < 1e-12)
  }

  @Test("have intervals that repeat, lie around the value, and narrow with the number of examples")
  func intervals() {
    func widths(_ count: Int) -> Double {
      let pairs = (0..<count).map { ($0 % 3 == 0 ? "yes" : "no", ["no"]) }
      let value = scores(.accuracy, pairs)["accuracy"]
      #expect(value == scores(.accuracy, pairs)["accuracy"])
      guard let value else { return .nan }
      #expect(value.interval.contains(value.value))
      return value.interval.upperBound - value.interval.lowerBound
    }
    // 2 · 1.96 · √(⅓ · ⅔ ÷ n)
    #expect(abs(widths(90) - 0.195) < 0.03)
    #expect(abs(widths(9000) - 0.0195) < 0.003)
  }
}
