import Compute
import Evaluation
import Foundation
import Models
import Training

/// What a training looks like in a terminal: a bar that moves, and lines that stay. Without a terminal, lines only.
final class ProgressView {
  private var lastDrawn: ContinuousClock.Instant?
  private var lastLogged: ContinuousClock.Instant?
  private var smoothedLoss: Double?
  private var smoothedSpeed: Double?
  private var total = ""
  private var budget: Double?
  private var steps: Int?
  private let isTerminal = Log.isTerminal
  private var barIsDrawn = false

  /// Seconds between lines where there is no terminal.
  private static let logInterval = Duration.seconds(10)
  private static let drawInterval = Duration.milliseconds(200)

  func show(_ event: TrainingEvent) {
    switch event {
    case .started(let run):
      budget = run.settings.train.budget
      steps = run.settings.train.steps
      total = budget.map { formatDuration($0) } ?? steps.map { "\($0) steps" } ?? ""
      let model = run.settings.model
      line(
        "training a \(model.architecture.rawValue) of \(compact(Double(run.parameters))) parameters "
          + "(\(model.layers) layers, width \(model.hiddenSize), context \(run.settings.train.context)) "
          + "on \(compact(Double(run.trainTokens))) tokens for \(total); \(run.device)"
          + (run.settings.train.precision.map { $0 == .fp32 ? "" : ", \($0.rawValue)" } ?? ""))
      if run.firstStep > 0 { line("resumed after step \(run.firstStep)") }
    case .step(let metrics): step(metrics)
    // In the summary of the steps.
    case .skipped: break
    case .evaluated(let step, _, let result, let elapsed):
      var text = "step \(step)  \(formatDuration(elapsed))  validation: loss \(fixed(result.loss, 4))"
      if let bits = result.bitsPerByte { text += ", \(fixed(bits, 3)) bits per byte" }
      line(text + ", accuracy \(fixed(100 * result.accuracy, 1)) %")
    case .sampled(_, let text): line(Self.quoted(text))
    case .saved(_, let path): line("saved \(path)")
    }
  }

  /// Ends the bar's line.
  func finish() {
    if barIsDrawn { Log.write("\n") }
    barIsDrawn = false
  }

  private func step(_ metrics: StepMetrics) {
    smoothedLoss = smoothedLoss.map { 0.95 * $0 + 0.05 * metrics.loss } ?? metrics.loss
    smoothedSpeed = smoothedSpeed.map { 0.9 * $0 + 0.1 * metrics.tokensPerSecond } ?? metrics.tokensPerSecond
    let now = ContinuousClock.now
    if isTerminal {
      if let lastDrawn, now - lastDrawn < Self.drawInterval { return }
      lastDrawn = now
      draw(metrics)
    } else {
      if let lastLogged, now - lastLogged < Self.logInterval { return }
      lastLogged = now
      line(summary(metrics))
    }
  }

  private func summary(_ metrics: StepMetrics) -> String {
    "step \(metrics.step)  loss \(fixed(smoothedLoss ?? metrics.loss, 3))  "
      + (metrics.skippedUpdates > 0 ? "\(metrics.skippedUpdates) skipped  " : "")
      + "\(compact(smoothedSpeed ?? 0)) tokens/s  \(left(metrics)) left"
  }

  private func left(_ metrics: StepMetrics) -> String {
    if let budget { return formatDuration(budget - metrics.elapsed) }
    guard let steps, let speed = smoothedSpeed, speed > 0, metrics.step > 0 else { return "?" }
    let tokensPerStep = Double(metrics.tokens) / Double(metrics.step)
    return formatDuration(Double(steps - metrics.step) * tokensPerStep / speed)
  }

  private func draw(_ metrics: StepMetrics) {
    let text = summary(metrics)
    let width = max(10, min(30, Log.columns - text.count - 10))
    let filled = Int((metrics.progress * Double(width)).rounded())
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    let line = "\(bar) \(Int(metrics.progress * 100)) %  \(text)"
    Log.write("\r\u{1B}[K" + String(line.prefix(max(20, Log.columns - 1))))
    barIsDrawn = true
  }

  private func line(_ text: String) {
    Log.write((barIsDrawn ? "\r\u{1B}[K" : "") + text + "\n")
    barIsDrawn = false
  }

  /// A sample, set off from what Mayfly itself says.
  private static func quoted(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).prefix(12).map { "  │ \($0)" }.joined(separator: "\n")
  }
}
