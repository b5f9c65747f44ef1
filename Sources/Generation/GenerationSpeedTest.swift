package import Compute
package import Models

/// A model of random weights that writes one token after another, always the most likely, to measure with.
package final class GenerationSpeedTest {
  private let prompt: [Int32]
  private let session: KeyValueSession
  private var sampler: Sampler
  private var logits: [Float] = []
  package let parameters: Int

  /// - Parameter prompt: how many tokens are read first.
  /// - Throws: ``ComputeError``, also for a model that can't continue a text.
  package init(_ config: ModelConfig, executor: any Executor, prompt: Int) throws(ComputeError) {
    let transformer = try Transformer(config)
    let weights = try executor.makeParameters(transformer.parameterLayout, training: false)
    try Initialization(config).fill(weights, seed: 0)
    parameters = weights.layout.parameterCount
    session = try KeyValueSession(transformer, weights: weights, executor: executor)
    var options = SamplingOptions()
    options.temperature = 0
    sampler = Sampler(options)
    var generator = PhiloxGenerator(seed: 0)
    self.prompt = (0..<prompt).map { _ in Int32(generator.next() % UInt64(config.vocabularySize)) }
  }

  /// Reads the prompt.
  ///
  /// - Returns: how long that takes when everything is ready, in seconds.
  package func readPrompt() throws(ComputeError) -> Double {
    _ = try session.append(prompt)
    session.rewind(to: 0)
    let start = ContinuousClock.now
    logits = try session.append(prompt)
    return (ContinuousClock.now - start) / .seconds(1)
  }

  /// Writes so many tokens behind what is there; all must fit into the context.
  ///
  /// - Returns: the seconds that each took.
  package func run(tokens: Int) throws(ComputeError) -> [Double] {
    var times: [Double] = []
    for _ in 0..<tokens {
      let start = ContinuousClock.now
      logits = try session.append([sampler.next(logits, seen: [])])
      times.append((ContinuousClock.now - start) / .seconds(1))
    }
    return times
  }
}
