package import Evaluation

/// What a trainer tells whoever watches; it knows no bar, page or file that shows it.
package enum TrainingEvent: Sendable {
  /// A process begins, the first of a run or one that resumes it.
  case started(RunDescription)
  case step(StepMetrics)
  /// Gradients were no numbers: the weights stayed, and the loss scale is now `lossScale`.
  case skipped(step: Int, lossScale: Float, elapsed: Double)
  case evaluated(step: Int, split: String, EvaluationResult, elapsed: Double)
  /// How large the weights are.
  case layers(step: Int, [LayerSize], elapsed: Double)
  /// What the processor has used since this was told before, or since the start.
  case energy(step: Int, joules: Double, elapsed: Double)
  case sampled(step: Int, text: String)
  case saved(step: Int, path: String)
  /// The run has come to its end; one that was stopped has not.
  case finished(step: Int, elapsed: Double)
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
  package var tokensPerSecond: Double
  package var dataWaitSeconds: Double
  package var elapsed: Double
  /// In 0...1.
  package var progress: Double
}
