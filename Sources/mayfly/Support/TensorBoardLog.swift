import Evaluation
import Formats
import Foundation
import Training

/// What a training does as events for TensorBoard, in the run's folder.
final class TensorBoardLog: TrainingObserver {
  let name = "TensorBoard events"
  private let folder: RunFolder
  private var file: TensorBoardFile?

  init(_ folder: RunFolder) { self.folder = folder }

  func observe(_ event: TrainingEvent) throws {
    switch event {
    case .started(let run):
      file = try TensorBoardFile(
        folder: folder.path, firstStep: run.firstStep > 0 ? run.firstStep + 1 : 0, time: Self.now)
      try add([("settings", .text(Self.verbatim(run.settings.yaml)))], run.firstStep)
    case .step(let metrics):
      try add(
        [
          ("train/loss", .scalar(metrics.loss)), ("train/accuracy", .scalar(metrics.accuracy)),
          ("train/learning_rate", .scalar(Double(metrics.learningRate))),
          ("train/grad_norm", .scalar(metrics.gradientNorm)),
          ("train/tokens_per_second", .scalar(metrics.tokensPerSecond)),
        ], metrics.step)
    case .evaluated(let step, let split, let result, _):
      let bits = result.bitsPerByte.map { [("\(split)/bits_per_byte", TensorBoardFile.Value.scalar($0))] } ?? []
      try add(
        [("\(split)/loss", .scalar(result.loss)), ("\(split)/accuracy", .scalar(result.accuracy))] + bits, step)
      try file?.flush()
    case .layers(let step, let layers, _):
      try add(layers.map { ("weight_rms/\($0.name)", .scalar($0.rms)) }, step)
    case .sampled(let step, let text): try add([("samples", .text(Self.verbatim(text)))], step)
    case .skipped(let step, _, let lossScale, _): try add([("train/loss_scale", .scalar(Double(lossScale)))], step)
    // Who resumes from there must find every step up to it.
    case .saved: try file?.flush()
    case .rolledBack, .outputFailed, .energy, .finished: break
    }
  }

  func finish() throws { try file?.flush() }

  /// Numbers that are none, as the gradients' norm in a skipped update, are left out: no curve shows them.
  private func add(_ values: [(tag: String, value: TensorBoardFile.Value)], _ step: Int) throws {
    let shown = values.filter { if case .scalar(let number) = $0.value { number.isFinite } else { true } }
    try file?.append(shown, step: step, time: Self.now)
  }

  private static var now: Double { Date().timeIntervalSince1970 }

  /// As Markdown that shows a text as it stands.
  private static func verbatim(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }.joined(separator: "\n")
  }
}
