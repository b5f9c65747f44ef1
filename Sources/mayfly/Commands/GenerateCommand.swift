import ArgumentParser
import Formats
import Generation
import Models
import Tokenization

/// Continues a text.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Continue a text with a model.")

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(parsing: .unconditional, help: "The text to continue (default: the beginning of a document).")
  var prompt = ""

  @Option(help: "Tokens to generate at most.")
  var maxTokens = 200

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

  @Option(parsing: .unconditionalSingleValue, help: "A text that ends the generation; may be given again.")
  var stop: [String] = []

  @Option(help: "The same seed gives the same text.")
  var seed: UInt64 = 0

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    func require(_ holds: Bool, _ message: String) throws { if !holds { throw ValidationError(message) } }
    try require(maxTokens >= 0, "--max-tokens \(maxTokens): expected at least 0")
    try require(temperature >= 0 && temperature.isFinite, "--temperature \(temperature): expected at least 0")
    try require(topK >= 0, "--top-k \(topK): expected at least 0")
    try require(topP > 0 && topP <= 1, "--top-p \(topP): expected above 0, at most 1")
    try require(minP >= 0 && minP <= 1, "--min-p \(minP): expected 0 to 1")
    try require(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "--repetition-penalty \(repetitionPenalty): expected above 0"
    )
  }

  func run() throws {
    let model = try LoadedModel(model, device)
    try model.requireDecoder()
    let tokenizer = try model.requireTokenizer(for: "generate")
    var ids = tokenizer.encode(prompt, specialTokens: true)
    if ids.isEmpty {
      guard let start = model.config.bosTokenID.map(Int32.init(clamping:)) ?? tokenizer.endOfText else {
        throw CommandError("an empty --prompt, and the model has no token that begins a document: give a text")
      }
      ids = [start]
    }
    var options = SamplingOptions()
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.repetitionPenalty = repetitionPenalty
    options.seed = seed

    if !json { try Output.write(prompt) }
    let (longest, isEndless) = ids.count.addingReportingOverflow(maxTokens)
    let result = try model.generator(longest: isEndless ? .max : longest).generate(
      prompt: try model.checked(ids), maxTokens: maxTokens, options: options, stops: stop
    ) { text in
      if !json { try Output.write(text) }
      return true
    }
    guard json else {
      try Output.line("")
      return
    }
    try Output.json([
      "text": .string(result.text), "ids": .array(result.ids.map { .integer(Int64($0)) }),
      "finish_reason": .string(result.finishReason.rawValue),
    ])
  }
}
