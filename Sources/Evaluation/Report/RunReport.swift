import Formats
import Foundation

/// `report.html` of a run: how loss and accuracy went, what the model wrote on the way, and its settings.
package struct RunReport: Sendable {
  private let name: String
  private let history: RunHistory
  private let settings: String
  private let samples: [(name: String, text: String)]

  private static let drawnPoints = 300

  /// - Parameter samples: what the model wrote, in order.
  package init(name: String, history: RunHistory, settings: String, samples: [(name: String, text: String)]) {
    (self.name, self.history, self.settings, self.samples) = (name, history, settings, samples)
  }

  package static func title(of name: String) -> String { "Training of \(name)" }

  package var html: String { HTML.page(title: Self.title(of: name), body: body) }

  /// What stands under the title.
  package var body: String {
    """
    \(HTML.cards(cards))
    \(charts)
    \(incidents)
    \(shownSamples)
    <h2>Settings</h2>
    <details id="settings"><summary>run.yaml</summary><pre>\(HTML.escaped(settings))</pre></details>
    """
  }

  private var cards: [(name: String, value: String)] {
    var cards: [(name: String, value: String)] = []
    func add(_ name: String, _ value: Double?, _ format: String) {
      if let value, value.isFinite { cards.append((name, String(format: format, value))) }
    }
    let (update, last) = (history.lastUpdate, history.lastEvaluation)
    add("validation loss", last?.loss, "%.4f")
    add("best validation loss", history.bestEvaluation?.loss, "%.4f")
    add("bits per byte", last?.bitsPerByte, "%.3f")
    add("accuracy, %", last.map { 100 * $0.accuracy }, "%.1f")
    if last == nil { add("training loss", update?.loss, "%.4f") }
    if let parameters = history.parameters { cards.append(("parameters", HTML.grouped(parameters))) }
    if let update { cards += [("steps", HTML.grouped(update.step)), ("tokens", HTML.grouped(update.tokens))] }
    if history.elapsed > 0 { cards.append(("time", LineChart.duration(history.elapsed))) }
    add("energy of the processor, Wh", history.joules.map { $0 / 3600 }, "%.3g")
    return cards
  }

  // MARK: Charts

  private var charts: String {
    guard !history.updates.isEmpty else { return "<p class=\"note\">No update is made yet.</p>" }
    return """
      <h2>Through time</h2>
      <p class="note">Over the steps; below each stands the time that had passed. Training values are means of \
      neighbouring steps.\(history.device.map { " Trained on: \(HTML.escaped($0))." } ?? "")</p>
      \(chart("Loss, nats", \.loss, \.loss))
      <div class="pairs">
      \(chart("Accuracy", \.accuracy, \.accuracy))
      \(chart("Learning rate", \.learningRate))
      \(chart("Norm of the gradients, before clipping", \.gradientNorm))
      \(chart("Tokens per second", \.tokensPerSecond))
      \(layerChart)
      </div>
      """
  }

  private func chart(
    _ title: String, _ training: KeyPath<RunHistory.Update, Double>,
    _ validation: KeyPath<RunHistory.Evaluation, Double>? = nil
  ) -> String {
    var lines = [LineChart.Line(name: "training", points: smoothed(training))]
    if let validation {
      let points = history.evaluations.map { (x: Double($0.step), y: $0[keyPath: validation]) }
      lines.append(LineChart.Line(name: "validation", points: points))
    }
    return LineChart(title: title, lines: lines, time: time).html
  }

  /// How weights grow and shrink, beside where they began: parts differ much in size. Of a deep model some layers, evenly
  /// spread: so many lines can be told apart.
  private var layerChart: String {
    let latest = history.layers.last?.rms ?? []
    let shown = latest.count <= LineChart.colors ? latest : Self.spread(latest, LineChart.colors)
    let lines = shown.map { part in
      let sizes = history.layers.compactMap { layers in
        layers.rms.first { $0.name == part.name }.map { (x: Double(layers.step), y: $0.value) }
      }
      let first = sizes.first?.y ?? 1
      return LineChart.Line(
        name: "\(part.name): \(LineChart.short(part.value))", points: sizes.map { ($0.x, $0.y / first) })
    }
    return LineChart(
      title: "Root mean square of the weights, beside that at the first evaluation", lines: lines,
      time: time
    ).html
  }

  /// Seconds at a step.
  private func time(_ step: Double) -> Double? {
    history.updates.first { Double($0.step) >= step }?.elapsed ?? history.lastUpdate?.elapsed
  }

  /// Means of as many neighbours as leave a few hundred points.
  private func smoothed(_ value: KeyPath<RunHistory.Update, Double>) -> [(x: Double, y: Double)] {
    let updates = history.updates.filter { $0[keyPath: value].isFinite }
    let size = max(1, (updates.count + Self.drawnPoints - 1) / Self.drawnPoints)
    return stride(from: 0, to: updates.count, by: size).map { start in
      let part = updates[start..<min(updates.count, start + size)]
      let count = Double(part.count)
      return (part.reduce(0) { $0 + Double($1.step) } / count, part.reduce(0) { $0 + $1[keyPath: value] } / count)
    }
  }

  /// So many of them, the first and the last among them.
  private static func spread<T>(_ values: [T], _ count: Int) -> [T] {
    (0..<count).map { values[$0 * (values.count - 1) / (count - 1)] }
  }

  // MARK: Below the charts

  private var incidents: String {
    guard !history.incidents.isEmpty else { return "" }
    let rows = history.incidents.map { incident in
      HTML.row([HTML.escaped(incident.name.replacing("_", with: " ")), HTML.grouped(incident.count)])
    }
    return "<h2>What happened on the way</h2>" + HTML.table(["event", "times"], rows)
  }

  /// The first, the last and some between; nothing of a model that doesn't write.
  private var shownSamples: String {
    let most = 6
    guard !samples.isEmpty else { return "" }
    let figures = (samples.count <= most ? samples : Self.spread(samples, most)).map { sample in
      "<figure><pre>\(HTML.escaped(sample.text))</pre><figcaption>\(HTML.escaped(sample.name))</figcaption></figure>"
    }
    return (["<h2>What the model wrote</h2>"] + figures).joined(separator: "\n")
  }
}
