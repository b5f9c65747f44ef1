package import Evaluation
package import Formats

/// What a trainer tells whoever watches; it knows no bar, page or file that shows it.
package enum TrainingEvent: Sendable {
  /// A process begins, the first of a run or one that resumes it.
  case started(RunDescription)
  case step(StepMetrics)
  /// The update was skipped: the weights stayed, and the loss scale is now `lossScale`.
  case skipped(step: Int, SpikeGuard.Problem, lossScale: Float, elapsed: Double)
  /// The run went wrong and goes on from step `to`, in another order of the data and at half the rate.
  case rolledBack(from: Int, to: Int, reason: String, rollbacks: Int, elapsed: Double)
  case evaluated(step: Int, split: String, EvaluationResult, elapsed: Double)
  /// How large the weights are.
  case layers(step: Int, [LayerSize], elapsed: Double)
  /// What the processor has used since this was told before, or since the start.
  case energy(step: Int, joules: Double, elapsed: Double)
  case sampled(step: Int, text: String)
  case saved(step: Int, path: String)
  /// What the run leaves can't be written, as where a disk is full: it goes on and tries again. Told once.
  case outputFailed(step: Int, FormatError)
  /// The run has come to its end; one that was stopped has not.
  ///
  /// - Parameter memory: bytes that it took at most, where the device computes.
  case finished(step: Int, memory: Int, elapsed: Double)
}

package struct RunDescription: Sendable {
  package let device: String
  package let parameters: Int
  package let flopsPerToken: Double
  /// What the device can multiply at most, FLOP/s; nil: not known.
  package let peakFlops: Double?
  package let trainTokens: Int
  package let firstStep: Int
  /// Seconds used by processes before.
  package let elapsed: Double
  package let settings: Settings
}

/// One update.
package struct StepMetrics: Sendable {
  /// Counts from 1.
  package var step: Int
  /// Tokens trained on so far, this update included.
  package var tokens: Int
  /// Mean over the update's tokens, before the update; nats.
  package var loss: Double
  package var accuracy: Double
  package var learningRate: Float
  /// Before clipping; no number where the update was skipped.
  package var gradientNorm: Double
  /// Steps so far that were skipped, this one included.
  package var skippedUpdates: Int
  /// How often the run went back so far.
  package var rollbacks: Int
  package var tokensPerSecond: Double
  package var dataWaitSeconds: Double
  package var elapsed: Double
  /// In 0...1.
  package var progress: Double
}
