import ArgumentParser
import Generation

/// How the next token is chosen: what `generate` and `chat` share.
struct SamplingArguments: ParsableArguments {
  @Option(help: "How freely to choose: 0 always takes the most likely token, 1 as the model says.")
  var temperature = 0.8

  @Option(help: "Choose among the k most likely tokens only; 0: all.")
  var topK = 0

  @Option(help: "Choose among the fewest tokens that reach this probability together.")
  var topP = 1.0

  @Option(help: "Leave out tokens less likely than this share of the most likely one's probability.")
  var minP = 0.0

  @Option(help: "Above 1: tokens that were there already become less likely.")
  var repetitionPenalty = 1.0

  @Option(help: "The same seed gives the same text.")
  var seed: UInt64 = 0

  func validate() throws {
    func require(_ holds: Bool, _ message: String) throws { if !holds { throw ValidationError(message) } }
    try require(temperature >= 0 && temperature.isFinite, "--temperature \(temperature): expected at least 0")
    try require(topK >= 0, "--top-k \(topK): expected at least 0")
    try require(topP > 0 && topP <= 1, "--top-p \(topP): expected above 0, at most 1")
    try require(minP >= 0 && minP <= 1, "--min-p \(minP): expected 0 to 1")
    try require(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "--repetition-penalty \(repetitionPenalty): expected above 0"
    )
  }

  var options: SamplingOptions {
    var options = SamplingOptions()
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.repetitionPenalty = repetitionPenalty
    options.seed = seed
    return options
  }
}
