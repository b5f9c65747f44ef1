import ArgumentParser
import Evaluation
import Formats
import Generation
import Models
import Tokenization

/// How likely a model finds each token of a text; of one that fills in tokens, what it puts where the mask stands.
struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give the log-probability of each token of a text, or what fits where a mask stands.",
    discussion: """
      A model that sees both sides (encoder, bert) fills in masks: the text holds its mask token, such as [MASK] or \
      <|mask|>, and for each the most likely tokens are given.
      """)

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(parsing: .unconditional, help: "The text.")
  var text: String?

  @Option(help: "A file with the text.")
  var file: String?

  @Option(help: "Token ids instead of a text, as 1,2,3.")
  var ids: String?

  @Option(help: "Show the K most likely tokens at each position too (default: 0; where a mask stands, 5).")
  var top: Int?

  @Option(help: "The id of the mask token, where the model doesn't say.")
  var maskId: Int32?

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    guard [text, file, ids].compactMap(\.self).count == 1 else {
      throw ValidationError("give one of --text, --file and --ids")
    }
    if let top, top < 0 { throw ValidationError("--top \(top): expected at least 0") }
  }

  func run() throws {
    let model = try LoadedModel(model, device, needsTokenizer: ids == nil)
    let ids = try model.checked(try tokens(model))
    guard !ids.isEmpty else { throw CommandError("there is nothing to score: the text is empty") }
    if model.config.isClassifier {
      try LabelScore(model, ids).print(json: json)
      return
    }
    let scorer = Scorer(model.transformer, weights: model.weights, executor: model.executor)
    if model.config.isBidirectional {
      try fill(ids, model, scorer)
      return
    }
    let score = try scorer.score(ids, top: top ?? 0)
    let known = score.logProbabilities.compactMap(\.self)
    let loss = known.isEmpty ? Double.nan : -known.reduce(0, +) / Double(known.count)
    if json {
      try printJSON(ids, score, loss: loss)
      return
    }
    for (position, id) in ids.enumerated() {
      let value = score.logProbabilities[position].map { fixed($0, 4) } ?? "-"
      let token = model.tokenizer.map { " \($0.decode([id]).debugDescription)" } ?? ""
      let alternatives = score.alternatives[position].map { shown($0, model.tokenizer) }
      try Output.line(
        "\(value)\t\(id)\(token)" + (alternatives.isEmpty ? "" : "\t" + alternatives.joined(separator: "  ")))
    }
    if known.isEmpty {
      try Output.line("one token alone: there is nothing to predict")
      return
    }
    try Output.line("loss \(fixed(loss, 4)) nats per token over \(known.count) tokens")
  }

  /// What a model that sees both sides puts where the mask stands.
  private func fill(_ ids: [Int32], _ model: LoadedModel, _ scorer: Scorer) throws {
    let mask = try model.requireMaskToken(maskId)
    let text = model.tokenizer.map { $0.decode([mask]) }
    let positions = ids.indices.filter { ids[$0] == mask }
    guard !positions.isEmpty else {
      throw CommandError(
        "there is no mask to fill in: put \(text ?? "the mask") (id \(mask)) where a token is missing"
          + (text == nil ? ", or say which id the mask has with --mask-id" : ""))
    }
    guard ids.count <= model.config.maxPositions else {
      throw CommandError("\(ids.count) tokens are more than the model's context of \(model.config.maxPositions)")
    }
    let alternatives = try scorer.fill(ids, at: positions, top: top ?? 5)
    if json {
      try Output.json([
        "ids": .array(ids.map { .integer(Int64($0)) }),
        "mask_positions": .array(positions.map { .integer(Int64($0)) }), "logprobs": nil, "loss": nil,
        "top": Self.json(alternatives),
      ])
      return
    }
    for (position, alternatives) in zip(positions, alternatives) {
      try Output.line("\(position)\t" + alternatives.map { shown($0, model.tokenizer) }.joined(separator: "  "))
    }
  }

  private func shown(_ alternative: TokenAlternative, _ tokenizer: Tokenizer?) -> String {
    let text = tokenizer.map { $0.decode([alternative.id]).debugDescription } ?? "\(alternative.id)"
    return "\(text) \(fixed(alternative.logProbability, 2))"
  }

  private static func json(_ alternatives: [[TokenAlternative]]) -> JSON {
    .array(
      alternatives.map { alternatives in
        .array(alternatives.map { ["id": .integer(Int64($0.id)), "logprob": .number($0.logProbability)] })
      })
  }

  private func tokens(_ model: LoadedModel) throws -> [Int32] {
    if let ids {
      return try ids.split(separator: ",", omittingEmptySubsequences: false).map { part in
        guard let id = Int32(part.drop { $0 == " " }) else {
          throw CommandError("--ids: '\(part)' is no token id; expected integers as 1,2,3")
        }
        return id
      }
    }
    let tokenizer = try model.requireTokenizer(for: "score")
    let text = try text.map { Array($0.utf8) } ?? FileSystem.read(file ?? "")
    return try model.surrounded(tokenizer.encode(text, specialTokens: true), by: tokenizer)
  }

  private func printJSON(_ ids: [Int32], _ score: Scorer.Score, loss: Double) throws {
    var members = JSONObject()
    members["ids"] = .array(ids.map { .integer(Int64($0)) })
    members["logprobs"] = .array(score.logProbabilities.map { $0.map { .number($0) } ?? .null })
    members["loss"] = .number(loss)
    if let top, top > 0 { members["top"] = Self.json(score.alternatives) }
    try Output.json(.object(members))
  }
}
