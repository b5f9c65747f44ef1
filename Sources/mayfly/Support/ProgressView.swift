import Compute
import Evaluation
import Formats
import Foundation
import Models
import Training

/// What a training looks like in a terminal: a block at its end that is alive, and lines that stay. Without a terminal,
/// lines only.
final class ProgressView: TrainingObserver {
  let name = "progress"
  private var lastShown: ContinuousClock.Instant?
  private var smoothedLoss: Double?
  private var smoothedSpeed: Double?
  /// The smoothed loss through the run, evenly spread.
  private var curve = Thinned<Double>(limit: 512)
  private var run: RunDescription?
  private var last: StepMetrics?
  private let isTerminal = Log.isTerminal
  /// What the device takes of its own memory.
  private let deviceBytes: () -> Int?

  private static let logInterval = Duration.seconds(10)
  private static let drawInterval = Duration.milliseconds(200)

  init(deviceBytes: @escaping () -> Int?) { self.deviceBytes = deviceBytes }

  func observe(_ event: TrainingEvent) {
    switch event {
    case .started(let run):
      self.run = run
      Log.line(Self.introduction(run))
      if run.firstStep > 0 { Log.line("resumed after step \(run.firstStep)") }
    case .step(let metrics): step(metrics)
    case .evaluated(let step, _, let result, let elapsed):
      var text = "step \(step)  \(formatDuration(elapsed))  validation: loss \(fixed(result.loss, 4))"
      if let bits = result.bitsPerByte { text += ", \(fixed(bits, 3)) bits per byte" }
      Log.line(text + ", accuracy \(fixed(100 * result.accuracy, 1)) %")
    case .sampled(_, let text): Log.line(Self.quoted(text))
    case .saved(_, let path): Log.line("saved \(path)")
    case .rolledBack(let from, let to, let reason, _, _):
      smoothedLoss = nil
      Log.line(
        "step \(from): \(reason); back to step \(to), and on from there with half the learning rate and other rows")
    case .outputFailed(_, let error):
      Log.line("warning: \(error); the training goes on, and this is tried again at the next checkpoint")
    // Skipped updates are in the summary of the steps.
    case .skipped, .layers, .energy, .finished: break
    }
  }

  func finish() {
    if isTerminal, let last { draw(last) }
    Log.settle()
  }

  private static func introduction(_ run: RunDescription) -> String {
    let (model, train) = (run.settings.model, run.settings.train)
    let total = train.budget.map { formatDuration($0) } ?? train.steps.map { "\($0) steps" } ?? ""
    return "training a \(model.architecture.rawValue) of \(compact(Double(run.parameters))) parameters "
      + "(\(model.layers) layers, width \(model.hiddenSize), context \(train.context)) "
      + "on \(compact(Double(run.trainTokens))) tokens for \(total); \(run.device)"
      + (train.precision.map { $0 == .fp32 ? "" : ", \($0.rawValue)" } ?? "")
  }

  private func step(_ metrics: StepMetrics) {
    // Of an update that was skipped the loss may be no number.
    if metrics.loss.isFinite { smoothedLoss = smoothedLoss.map { 0.95 * $0 + 0.05 * metrics.loss } ?? metrics.loss }
    let loss = smoothedLoss ?? metrics.loss
    smoothedSpeed = smoothedSpeed.map { 0.9 * $0 + 0.1 * metrics.tokensPerSecond } ?? metrics.tokensPerSecond
    if loss.isFinite { curve.append(loss) }
    last = metrics
    let now = ContinuousClock.now
    if let lastShown, now - lastShown < (isTerminal ? Self.drawInterval : Self.logInterval) { return }
    lastShown = now
    if isTerminal {
      draw(metrics)
    } else {
      Log.line(
        "step \(metrics.step)  loss \(fixed(loss, 3))  \(skipped(metrics))\(compact(smoothedSpeed ?? 0)) tokens/s  "
          + "\(left(metrics)) left")
    }
  }

  private func skipped(_ metrics: StepMetrics) -> String {
    (metrics.skippedUpdates > 0 ? "\(metrics.skippedUpdates) skipped  " : "")
      + (metrics.rollbacks > 0 ? "\(metrics.rollbacks)× back  " : "")
  }

  private func left(_ metrics: StepMetrics) -> String {
    if let budget = run?.settings.train.budget { return formatDuration(budget - metrics.elapsed) }
    guard let steps = run?.settings.train.steps, let speed = smoothedSpeed, speed > 0, metrics.step > 0 else {
      return "?"
    }
    let tokensPerStep = Double(metrics.tokens) / Double(metrics.step)
    return formatDuration(Double(steps - metrics.step) * tokensPerStep / speed)
  }

  // MARK: The block's lines, none longer than the terminal is wide

  private func draw(_ metrics: StepMetrics) {
    let columns = Log.columns
    Log.show([bar(metrics, columns), losses(metrics, columns), machine(columns)])
  }

  private func bar(_ metrics: StepMetrics, _ columns: Int) -> String {
    let texts = [
      "\(Int(metrics.progress * 100)) %", "\(left(metrics)) left", "step \(metrics.step)",
      "\(formatDuration(metrics.elapsed)) used",
    ]
    let text = Self.fitting(texts, columns - 12)
    let width = max(0, min(40, columns - text.count - 4))
    let filled = Int((metrics.progress * Double(width)).rounded())
    return Self.cut(
      " " + String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled) + "  " + text,
      columns)
  }

  private func losses(_ metrics: StepMetrics, _ columns: Int) -> String {
    let text = " loss \(fixed(smoothedLoss ?? metrics.loss, 3))  " + skipped(metrics)
    return Self.cut(text + Sparkline.text(curve.values, width: min(60, columns - text.count - 2)), columns)
  }

  private func machine(_ columns: Int) -> String {
    let speed = smoothedSpeed ?? 0
    let flops = speed * (run?.flopsPerToken ?? 0)
    var texts = ["\(compact(speed)) tokens/s"]
    texts.append("memory \(Self.size(ProcessMemory.peak))")
    if let bytes = deviceBytes() { texts.append("GPU \(Self.size(bytes))") }
    if let peak = run?.peakFlops {
      texts.append("\(fixed(100 * flops / peak, 0)) % of the matrix peak")
    } else if flops > 0 {
      texts.append("\(fixed(flops / 1e9, 1)) GFLOP/s")
    }
    return Self.cut(" " + Self.fitting(texts, columns - 2), columns)
  }

  /// As many of the texts, from the first on, as a line holds.
  private static func fitting(_ texts: [String], _ columns: Int) -> String {
    var line = ""
    for text in texts {
      let longer = line.isEmpty ? text : line + " · " + text
      if !line.isEmpty, longer.count > columns { break }
      line = longer
    }
    return line
  }

  /// A line that reaches the last column would be broken by some terminals.
  private static func cut(_ line: String, _ columns: Int) -> String { String(line.prefix(max(1, columns - 1))) }

  private static func size(_ bytes: Int) -> String {
    bytes < 10 << 30 ? "\(bytes >> 20) MiB" : "\(bytes >> 30) GiB"
  }

  /// A sample, set off from what Mayfly itself says.
  private static func quoted(_ text: String) -> String {
    text.withVisibleControls.split(separator: "\n", omittingEmptySubsequences: false).prefix(12).map { "  │ \($0)" }
      .joined(separator: "\n")
  }
}
