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

  @OptionGroup var sampling: SamplingArguments

  @Option(parsing: .unconditionalSingleValue, help: "A text that ends the generation; may be given again.")
  var stop: [String] = []

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if maxTokens < 0 { throw ValidationError("--max-tokens \(maxTokens): expected at least 0") }
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
    if !json { try Output.write(ofModel: prompt) }
    let (longest, isEndless) = ids.count.addingReportingOverflow(maxTokens)
    let result = try model.generator(longest: isEndless ? .max : longest).generate(
      prompt: try model.checked(ids), maxTokens: maxTokens, options: sampling.options, stops: stop
    ) { text in
      if !json { try Output.write(ofModel: text) }
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
