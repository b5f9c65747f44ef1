import Foundation

/// The learning rate through a run: linear warmup by updates, then decay by progress.
package struct Schedule: Sendable {
  private let settings: TrainSettings

  package init(_ settings: TrainSettings) {
    self.settings = settings
  }

  /// The rate of update `step` (from 1).
  ///
  /// Warmup: rate · step / warmup. Then, with p going from 0 at the end of the warmup to 1 at the end of the run:
  /// cosine: min + ½(1 + cos πp)(rate − min), Loshchilov & Hutter, arXiv:1608.03983, equation 5; linear: likewise.
  ///
  /// - Parameter progress: the share of the run that is done, in 0...1; the larger of time and updates used.
  /// - Parameter warmupEnd: the progress at which the warmup ended.
  package func learningRate(step: Int, progress: Double, warmupEnd: Double) -> Float {
    let peak = Double(settings.learningRate)
    if step < settings.warmupSteps { return Float(peak * Double(step) / Double(settings.warmupSteps)) }
    let floor = peak * Double(settings.minLearningRateRatio)
    let p = warmupEnd < 1 ? min(1, max(0, (progress - warmupEnd) / (1 - warmupEnd))) : 1
    return switch settings.schedule {
    case .constant: Float(peak)
    case .linear: Float(floor + (1 - p) * (peak - floor))
    case .cosine: Float(floor + 0.5 * (1 + cos(.pi * p)) * (peak - floor))
    }
  }
}
