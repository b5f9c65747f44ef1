package import Compute
import Models

/// How noisy gradients are: tokens per update at which noise and signal are equal, B = tr(Σ)/|G|². An update of many more
/// wastes tokens, one of many fewer time.
///
/// McCandlish et al., "An Empirical Model of Large-Batch Training", arXiv:1812.06162, equation 2.9; from two batch sizes as
/// in its appendix A.1: |G|² and tr(Σ) follow from the mean squared norms of gradients of few and of many tokens.
package struct GradientNoise: Sendable {
  /// Tokens.
  package let scale: Double

  /// Rows of a small batch, times which a large one is, and how many of each are measured.
  private static let factor = 8
  private static let rounds = 6

  /// Trains a model for a moment, then measures.
  ///
  /// - Parameters:
  ///   - settings: of the model; its batch is the small one.
  ///   - source: of rows, of which it takes some.
  ///   - seconds: what the training may take.
  /// - Returns: nil where there is more noise than can be told from a signal.
  /// - Throws: ``ComputeError``, and what the source throws.
  package static func measure(
    _ settings: Settings, source: any BatchSource, executor: any Executor, seconds limit: Double
  ) throws -> GradientNoise? {
    var settings = settings
    settings.choosePrecision(for: executor)
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(
      transformer.parameterLayout, training: true, moments: settings.train.moments ?? .fp32)
    try Initialization(settings.model).fill(store, seed: settings.train.seed)
    let small = try UpdateStep(transformer, settings: settings.train, store: store, executor: executor)
    var many = settings.train
    many.microBatchSize = settings.train.batchSize
    many.batchSize *= factor
    let large = try UpdateStep(transformer, settings: many, store: store, executor: executor)

    let schedule = Schedule(settings.train)
    let start = ContinuousClock.now
    var step = 0
    while step < 20 || seconds(ContinuousClock.now - start) < limit, step < 2000 {
      step += 1
      let factor = schedule.factor(step: step, progress: 0, warmupEnd: 0)
      _ = try small.run(step: step, firstMicroStep: step, rateFactor: factor, source: source)
    }
    /// The mean squared norm of gradients that nothing is learned from.
    func square(_ update: UpdateStep, count: Int) throws -> Double {
      var sum = 0.0
      for _ in 0..<count {
        try update.begin(
          step: step + 1, firstMicroStep: step, rateFactor: 0, limits: .init(gradientNorm: -1), source: source)
        let norm = try update.finish().gradientNorm
        sum += norm * norm
      }
      return sum / Double(count)
    }
    let few = Double(settings.train.batchSize * settings.train.context)
    let lots = few * Double(factor)
    let (noisy, clear) = (try square(small, count: rounds * factor), try square(large, count: rounds))
    let signal = (lots * clear - few * noisy) / (lots - few)
    let noise = (noisy - clear) / (1 / few - 1 / lots)
    guard signal > 0, noise > 0, noise.isFinite else { return nil }
    return GradientNoise(scale: noise / signal)
  }
}
