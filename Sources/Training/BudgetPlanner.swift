package import Compute
package import Models

/// Chooses a preset for a time budget: the largest that a measured step lets see enough tokens.
package struct BudgetPlanner {
  /// What was considered, smallest first.
  package struct Candidate: Sendable {
    package let preset: Preset
    package let parameters: Int
    /// Tokens that the budget lets the model see.
    package let tokens: Double
    /// The part of them that teaches something: a text read too often teaches nothing new.
    package let usefulTokens: Double
    /// Whether the speed was measured, or extrapolated from the smallest preset's.
    package var isMeasured: Bool

    /// Useful tokens for each parameter.
    package var tokensPerParameter: Double { usefulTokens / Double(parameters) }
  }

  /// A model is worth its size when it sees this many tokens per parameter: half of what is optimal for a given amount
  /// of compute (Hoffmann et al., arXiv:2203.15556, table 3).
  package static let enoughTokensPerParameter = 10.0
  /// More passes over the text than this teach little. Muennighoff et al., "Scaling Data-Constrained Language Models",
  /// arXiv:2305.16264.
  private static let usefulPasses = 12.0

  private let executor: any Executor
  private let vocabularySize: Int
  private let precision: Precision?

  /// - Parameter precision: that of the training; nil: what is fastest.
  package init(executor: any Executor, vocabularySize: Int, precision: Precision? = nil) {
    self.executor = executor
    self.vocabularySize = vocabularySize
    self.precision = precision
  }

  /// - Parameters:
  ///   - budget: seconds.
  ///   - trainTokens: tokens of the training split.
  /// - Returns: the choice, and everything that was considered.
  /// - Throws: ``ComputeError``.
  package func choose(
    budget: Double, trainTokens: Int
  ) throws -> (chosen: Preset, candidates: [Candidate]) {
    var candidates: [Candidate] = []
    var flopsPerSecond: Double?
    for preset in Preset.all where preset.architecture == .nanochat {
      let transformer = try Transformer(preset.config(vocabularySize: vocabularySize))
      let parameters = transformer.parameterLayout.parameterCount
      let micro = try transformer.lossProgram(batch: 1, time: preset.context, training: true)
      let flopsPerToken = micro.program.flops / Double(preset.context)
      if flopsPerSecond == nil {
        flopsPerSecond = try measure(transformer.config, preset) * flopsPerToken
      }
      let tokens = budget * (flopsPerSecond ?? 0) / flopsPerToken
      candidates.append(
        Candidate(
          preset: preset, parameters: parameters, tokens: tokens,
          usefulTokens: min(tokens, Self.usefulPasses * Double(trainTokens)), isMeasured: candidates.isEmpty))
    }
    let chosen = candidates.last { $0.tokensPerParameter >= Self.enoughTokensPerParameter } ?? candidates[0]
    return (chosen.preset, candidates)
  }

  /// Tokens per second of a few real updates.
  private func measure(_ config: ModelConfig, _ preset: Preset) throws -> Double {
    var settings = Settings(model: config)
    settings.train.batchSize = preset.batchSize
    settings.train.context = preset.context
    settings.train.precision = precision
    settings.choosePrecision(for: executor)
    let test = try SpeedTest(settings, executor: executor)
    // The first update touches fresh memory: not typical.
    _ = try test.run(updates: 1)
    let fastest = try test.run(updates: 3).min() ?? .infinity
    return Double(test.tokensPerUpdate) / fastest
  }
}
