import ArgumentParser
import Corpus
import Evaluation
import Formats
import Models
import Tokenization

/// How well a model predicts a text that it hasn't seen.
struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a model on held-out text: loss, perplexity, bits per byte, accuracy.")

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(help: "Prepared data.")
  var data: String

  @Option(help: "The split: val, test or train.")
  var split = Split.val

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func run() throws {
    let dataset = try Dataset(path: data)
    let shards = try dataset.shards(of: split)
    let model = try LoadedModel(model, device)
    try dataset.validate(vocabularySize: model.config.vocabularySize, splits: [split])
    try requireSameTokenizer(model.tokenizer, dataset.tokenizer)
    let result = try model.evaluate(shards, tokenizer: dataset.tokenizer)
    if json {
      Output.json([
        "split": .string(split.rawValue), "loss": .number(result.loss), "perplexity": .number(result.perplexity),
        "bits_per_byte": result.bitsPerByte.map { .number($0) } ?? .null, "accuracy": .number(result.accuracy),
        "tokens": .integer(Int64(result.tokens)),
      ])
      return
    }
    Output.line("split          \(split.rawValue), \(result.tokens) tokens")
    Output.line("loss           \(fixed(result.loss, 4)) nats per token")
    Output.line("perplexity     \(fixed(result.perplexity, 2))")
    if let bits = result.bitsPerByte { Output.line("bits per byte  \(fixed(bits, 4))") }
    Output.line("accuracy       \(fixed(100 * result.accuracy, 2)) %")
  }

  /// Ids of another tokenizer would give a number that means nothing.
  private func requireSameTokenizer(_ ours: Tokenizer?, _ theirs: Tokenizer?) throws {
    guard let ours, let theirs else { return }
    let probe = "The quick brown fox's 1,234 jumps —\n\tüber naïve 狐狸 и лиса!"
    guard ours.encode(probe, specialTokens: false) == theirs.encode(probe, specialTokens: false) else {
      throw CommandError(
        "\(data) was made with another tokenizer than the model's; prepare it with --tokenizer \(model)")
    }
  }
}

extension Split: ExpressibleByArgument {}
