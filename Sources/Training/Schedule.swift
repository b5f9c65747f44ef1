import Foundation

/// The learning rate through a run: linear warmup by updates, then decay by progress.
package struct Schedule: Sendable {
  private let settings: TrainSettings

  package init(_ settings: TrainSettings) {
    self.settings = settings
  }

  /// What the rates of update `step` (from 1) are times their peaks.
  ///
  /// Warmup: step / warmup. Then, with p going from 0 at the end of the warmup to 1 at the end of the run: cosine:
  /// min + ½(1 + cos πp)(1 − min), Loshchilov & Hutter, arXiv:1608.03983, equation 5; linear: likewise; wsd: 1, then
  /// linear in the last `decayShare` of p.
  ///
  /// - Parameter progress: the share of the run that is done, in 0...1; the larger of time and updates used.
  /// - Parameter warmupEnd: the progress at which the warmup ended.
  package func factor(step: Int, progress: Double, warmupEnd: Double) -> Float {
    if step < settings.warmupSteps { return Float(Double(step) / Double(settings.warmupSteps)) }
    let floor = Double(settings.minLearningRateRatio)
    let p = warmupEnd < 1 ? min(1, max(0, (progress - warmupEnd) / (1 - warmupEnd))) : 1
    return switch settings.schedule {
    case .constant: 1
    case .linear: Float(floor + (1 - p) * (1 - floor))
    case .cosine: Float(floor + 0.5 * (1 + cos(.pi * p)) * (1 - floor))
    case .wsd: Float(floor + min(1, (1 - p) / max(1e-9, Double(settings.decayShare))) * (1 - floor))
    }
  }
}
