import ArgumentParser
import Evaluation
import Generation

/// How a model does a task.
struct TaskArguments: ParsableArguments {
  @Option(help: "Examples: a .jsonl or .csv file; the kind of task follows from the fields.")
  var task: String?

  @Option(help: "Tokens to generate at most (default: 64, and half of the context at most).")
  var maxTokens: Int?

  @Option(help: "How freely to choose: 0 always takes the most likely token.")
  var temperature = 0.0

  @Option(help: "The same seed gives the same text.")
  var seed: UInt64 = 0

  @Option(parsing: .unconditionalSingleValue, help: "A text that ends an answer; may be given again.")
  var stop: [String] = []

  @Option(help: "Only the first N examples.")
  var limit: Int?

  @Option(help: "Write the predictions with their inputs: a .jsonl file.")
  var save: String?

  func validate() throws {
    if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens \(maxTokens): expected at least 1") }
    guard temperature >= 0, temperature.isFinite else {
      throw ValidationError("--temperature \(temperature): expected at least 0")
    }
    if let limit, limit < 1 { throw ValidationError("--limit \(limit): expected at least 1") }
  }

  func options(context: Int) -> TaskPredictor.Options {
    var options = TaskPredictor.Options()
    options.maxTokens = maxTokens ?? min(64, context / 2)
    options.sampling.temperature = temperature
    options.sampling.seed = seed
    options.stops = stop
    return options
  }
}
