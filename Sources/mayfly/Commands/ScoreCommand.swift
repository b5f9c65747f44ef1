import ArgumentParser
import Evaluation
import Formats
import Generation
import Tokenization

/// How likely a model finds each token of a text.
struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Give the log-probability of each token of a text.")

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(parsing: .unconditional, help: "The text.")
  var text: String?

  @Option(help: "A file with the text.")
  var file: String?

  @Option(help: "Token ids instead of a text, as 1,2,3.")
  var ids: String?

  @Option(help: "Show the K most likely tokens at each position too.")
  var top = 0

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    guard [text, file, ids].compactMap(\.self).count == 1 else {
      throw ValidationError("give one of --text, --file and --ids")
    }
    guard top >= 0 else { throw ValidationError("--top \(top): expected at least 0") }
  }

  func run() throws {
    let model = try LoadedModel(model, device)
    let ids = try model.checked(try tokens(model))
    guard !ids.isEmpty else { throw CommandError("there is nothing to score: the text is empty") }
    let scorer = Scorer(model.transformer, weights: model.weights, executor: model.executor)
    let score = try scorer.score(ids, top: top)
    let known = score.logProbabilities.compactMap(\.self)
    let loss = known.isEmpty ? Double.nan : -known.reduce(0, +) / Double(known.count)
    if json {
      try printJSON(ids, score, loss: loss)
      return
    }
    for (position, id) in ids.enumerated() {
      let value = score.logProbabilities[position].map { fixed($0, 4) } ?? "-"
      let token = model.tokenizer.map { " \($0.decode([id]).debugDescription)" } ?? ""
      let alternatives = score.alternatives[position].map { alternative in
        let text = model.tokenizer.map { $0.decode([alternative.id]).debugDescription } ?? "\(alternative.id)"
        return "\(text) \(fixed(alternative.logProbability, 2))"
      }
      try Output.line(
        "\(value)\t\(id)\(token)" + (alternatives.isEmpty ? "" : "\t" + alternatives.joined(separator: "  ")))
    }
    if known.isEmpty {
      try Output.line("one token alone: there is nothing to predict")
      return
    }
    try Output.line("loss \(fixed(loss, 4)) nats per token over \(known.count) tokens")
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
    if let text { return tokenizer.encode(text, specialTokens: true) }
    return tokenizer.encode(try FileSystem.read(file ?? ""), specialTokens: true)
  }

  private func printJSON(_ ids: [Int32], _ score: Scorer.Score, loss: Double) throws {
    var members = JSONObject()
    members["ids"] = .array(ids.map { .integer(Int64($0)) })
    members["logprobs"] = .array(score.logProbabilities.map { $0.map { .number($0) } ?? .null })
    members["loss"] = .number(loss)
    if top > 0 {
      members["top"] = .array(
        score.alternatives.map { alternatives in
          .array(alternatives.map { ["id": .integer(Int64($0.id)), "logprob": .number($0.logProbability)] })
        })
    }
    try Output.json(.object(members))
  }
}
