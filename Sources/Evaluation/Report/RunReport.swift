import Formats
import Foundation

/// `report.html` of a run: how loss and accuracy went, what the model wrote on the way, and its settings.
package struct RunReport: Sendable {
  /// A value of `metrics.jsonl` at a step.
  private struct Point {
    let step, value: Double
  }

  private let name: String
  private let settings: String
  private let samples: [(name: String, text: String)]
  private var train: [JSON] = []
  private var evaluations: [JSON] = []

  /// Lines of training that are read at most, evenly spread: a long run has millions.
  private static let readLines = 20_000
  private static let drawnPoints = 300

  /// - Parameters:
  ///   - metrics: the bytes of metrics.jsonl; lines that can't be read are passed over.
  ///   - samples: what the model wrote, in order.
  package init(name: String, metrics: [UInt8], settings: String, samples: [(name: String, text: String)]) {
    (self.name, self.settings, self.samples) = (name, settings, samples)
    let lines = metrics.split(separator: UInt8(ascii: "\n"))
    let stride = max(1, lines.count / Self.readLines)
    for (index, line) in lines.enumerated() {
      let isTrain = line.starts(with: Array("{\"kind\":\"train\"".utf8))
      if isTrain, !index.isMultiple(of: stride), index < lines.count - stride { continue }
      guard let json = try? JSON.parse(line) else { continue }
      switch json["kind"]?.string {
      case "train": train.append(json)
      case "eval": evaluations.append(json)
      default: break
      }
    }
  }

  package var html: String {
    HTML.page(
      title: "Training of \(name)",
      body: """
        \(HTML.cards(cards))
        <h2>Through time</h2>
        <p class="note">Over the steps; below each stands the time that had passed. Training values are means of \
        neighbouring steps.</p>
        \(chart("Loss, nats", "loss"))
        \(chart("Accuracy", "accuracy"))
        \(chart("Learning rate", "learning_rate", evaluated: false))
        \(shownSamples)
        <h2>Settings</h2>
        <details><summary>run.yaml</summary><pre>\(HTML.escaped(settings))</pre></details>
        """)
  }

  private var cards: [(name: String, value: String)] {
    var cards: [(name: String, value: String)] = []
    func add(_ name: String, _ value: Double?, _ format: String) {
      if let value { cards.append((name, String(format: format, value))) }
    }
    let last = evaluations.last
    add("validation loss at the end", last?["loss"]?.double, "%.4f")
    add("best validation loss", evaluations.compactMap { $0["loss"]?.double }.min(), "%.4f")
    add("bits per byte", last?["bits_per_byte"]?.double, "%.3f")
    add("accuracy, %", last?["accuracy"]?.double.map { 100 * $0 }, "%.1f")
    if last == nil { add("training loss at the end", train.last?["loss"]?.double, "%.4f") }
    if let step = train.last?["step"]?.int { cards.append(("steps", HTML.grouped(step))) }
    if let tokens = train.last?["tokens"]?.int { cards.append(("tokens", HTML.grouped(tokens))) }
    let times = [train.last, last].compactMap { $0?["elapsed_seconds"]?.double }
    if let seconds = times.max() { cards.append(("time", LineChart.duration(seconds))) }
    return cards
  }

  private func chart(_ title: String, _ key: String, evaluated: Bool = true) -> String {
    var lines = [LineChart.Line(name: "training", points: Self.smoothed(Self.points(train, key)))]
    if evaluated {
      lines.append(
        LineChart.Line(name: "validation", points: Self.points(evaluations, key).map { ($0.step, $0.value) }))
    }
    let times = Self.points(train, "elapsed_seconds")
    return LineChart(title: title, lines: lines) { step in
      times.first { $0.step >= step }?.value ?? times.last?.value
    }.html
  }

  private static func points(_ lines: [JSON], _ key: String) -> [Point] {
    lines.compactMap { line in
      guard let step = line["step"]?.double, let value = line[key]?.double, value.isFinite else { return nil }
      return Point(step: step, value: value)
    }
  }

  /// Means of as many neighbours as leave a few hundred points.
  private static func smoothed(_ points: [Point]) -> [(x: Double, y: Double)] {
    let size = max(1, (points.count + drawnPoints - 1) / drawnPoints)
    return stride(from: 0, to: points.count, by: size).map { start in
      let part = points[start..<min(points.count, start + size)]
      let count = Double(part.count)
      return (part.reduce(0) { $0 + $1.step } / count, part.reduce(0) { $0 + $1.value } / count)
    }
  }

  /// The first, the last and some between; nothing of a model that doesn't write.
  private var shownSamples: String {
    let shown = 6
    guard !samples.isEmpty else { return "" }
    let places =
      samples.count <= shown
      ? Array(samples.indices) : (0..<shown).map { $0 * (samples.count - 1) / (shown - 1) }
    let figures = places.map { place in
      "<figure><pre>\(HTML.escaped(samples[place].text))</pre><figcaption>\(HTML.escaped(samples[place].name))"
        + "</figcaption></figure>"
    }
    return (["<h2>What the model wrote</h2>"] + figures).joined(separator: "\n")
  }
}
