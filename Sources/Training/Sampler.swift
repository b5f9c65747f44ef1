package import Compute
import Generation
package import Models
package import Tokenization

/// Lets a model in training write a little, to look at. Its memory is taken once, before training.
package final class Sampler {
  private static let mostTokens = 96

  private let generator: Generator
  private let start: Int32
  private let options: SamplingOptions

  /// Nil where the model writes no text that can be read.
  ///
  /// - Throws: ``ComputeError``.
  package init?(
    _ transformer: Transformer, settings: Settings, weights: any ParameterStore, executor: any Executor,
    tokenizer: Tokenizer?
  ) throws(ComputeError) {
    let model = settings.model
    guard !model.isBidirectional, !model.isClassifier, let tokenizer, let start = tokenizer.endOfText,
      model.vocabularySize >= tokenizer.vocabularySize
    else { return nil }
    let session = try KeyValueSession(
      transformer, weights: weights, executor: executor, longest: 1 + Self.mostTokens)
    generator = Generator(session, tokenizer: tokenizer, endOfText: start)
    self.start = start
    var options = SamplingOptions()
    options.temperature = 0.8
    options.topP = 0.95
    options.seed = settings.train.seed
    self.options = options
  }

  /// What the model writes from a text's start, as its weights are now.
  ///
  /// - Throws: ``ComputeError``.
  package func text() throws -> String {
    // What is cached is of other weights.
    generator.session.rewind(to: 0)
    let maxTokens = min(Self.mostTokens, generator.session.capacity)
    return try generator.generate(prompt: [start], maxTokens: maxTokens, options: options).text
  }
}
