import Corpus
import Evaluation
import Formats
import Models
import Tokenization

/// `eval --data`: how well a model predicts a split.
struct TextEvaluation {
  let model: String
  let data: String
  let split: Split

  func run(_ device: DeviceOptions, json: Bool) throws {
    let dataset = try Dataset(path: data)
    let shards = try dataset.shards(of: split)
    let model = try LoadedModel(model, device)
    guard !model.config.isClassifier else {
      throw CommandError("\(self.model): a classifier predicts labels, not tokens: measure it with --task FILE")
    }
    try dataset.validate(vocabularySize: model.config.vocabularySize, splits: [split])
    try requireSameTokenizer(model.tokenizer, dataset.tokenizer)
    let result = try model.evaluate(shards, tokenizer: dataset.tokenizer)
    if json {
      var members = JSONObject()
      members["split"] = .string(split.rawValue)
      members["loss"] = .number(result.loss)
      members["perplexity"] = .number(result.perplexity)
      members["bits_per_byte"] = result.bitsPerByte.map { .number($0) } ?? .null
      members["accuracy"] = .number(result.accuracy)
      if let baseline = result.baselineAccuracy { members["baseline_accuracy"] = .number(baseline) }
      members["tokens"] = .integer(Int64(result.tokens))
      try Output.json(.object(members))
      return
    }
    let isMasked = model.config.isBidirectional
    try Output.line("split          \(split.rawValue), \(result.tokens) \(isMasked ? "masked " : "")tokens")
    try Output.line("loss           \(fixed(result.loss, 4)) nats per token")
    try Output.line("perplexity     \(fixed(result.perplexity, 2))")
    if let bits = result.bitsPerByte { try Output.line("bits per byte  \(fixed(bits, 4))") }
    try Output.line("accuracy       \(fixed(100 * result.accuracy, 2)) %")
    if let baseline = result.baselineAccuracy {
      try Output.line("baseline       \(fixed(100 * baseline, 2)) %, the most frequent token everywhere")
    }
  }

  /// Ids of another tokenizer would give a number that means nothing.
  private func requireSameTokenizer(_ ours: Tokenizer?, _ theirs: Tokenizer?) throws {
    guard let ours, let theirs, !ours.agrees(with: theirs) else { return }
    throw CommandError(
      "\(data) was made with another tokenizer than the model's; prepare it with --tokenizer \(model)")
  }
}
