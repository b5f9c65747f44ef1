import ArgumentParser
import Evaluation
import Formats
import Models
import Tokenization

/// Vectors of sentences.
struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turn texts into vectors, and find the nearest ones.",
    discussion: """
      Each line of the file is a text; its vector is the mean of the model's last hidden states, of length 1, so that the
      dot product of two is their cosine.

        mayfly embed runs/mine --file lines.txt --json                     all vectors
        mayfly embed runs/mine --file lines.txt --query "rain" --top 5     the lines nearest to a text
      """)

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(help: "A file of texts, one a line.")
  var file: String?

  @Option(parsing: .unconditionalSingleValue, help: "A text; may be given again.")
  var text: [String] = []

  @Option(parsing: .unconditional, help: "Show the texts that are nearest to this one.")
  var query: String?

  @Option(help: "How many of them.")
  var top = 10

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    guard (file == nil) != text.isEmpty else { throw ValidationError("give either --file or --text") }
    guard top > 0 else { throw ValidationError("--top \(top): expected at least 1") }
  }

  func run() throws {
    let texts = try file.map { try Self.lines($0) } ?? text
    let model = try LoadedModel(model, device)
    let tokenizer = try model.requireTokenizer(for: "embed")
    let encoder = Encoder(tokenizer)
    let context = model.config.maxPositions
    var cut = 0
    let room = max(0, context - (try model.surrounded([], by: tokenizer).count))
    func ids(_ text: String) throws -> [Int32] {
      let ids = try model.checked(encoder.encode(text, specialTokens: false))
      if ids.count > room { cut += 1 }
      return try model.surrounded(Array(ids.prefix(room)), by: tokenizer)
    }
    let sequences = try (texts + (query.map { [$0] } ?? [])).map(ids)
    if cut > 0 { Log.line("warning: cut \(cut) texts that are longer than the model's context of \(context) tokens") }
    let vectors = try Embedder(model.transformer, weights: model.weights, executor: model.executor).embed(sequences)
    guard query != nil, let wanted = vectors.last else {
      try show(vectors)
      return
    }
    try show(Neighbour.nearest(to: wanted, among: Array(vectors.dropLast()), count: top), of: texts)
  }

  private func show(_ vectors: [[Float]]) throws {
    guard !json else {
      try Output.json([
        "dimensions": .integer(Int64(vectors.first?.count ?? 0)),
        "vectors": .array(vectors.map { .array($0.map { .number(Double($0)) }) }),
      ])
      return
    }
    for vector in vectors { try Output.line(vector.map { "\($0)" }.joined(separator: " ")) }
  }

  private func show(_ neighbours: [Neighbour], of texts: [String]) throws {
    guard !json else {
      try Output.json([
        "neighbours": .array(
          neighbours.map {
            [
              "line": .integer(Int64($0.index + 1)), "similarity": .number($0.similarity),
              "text": .string(texts[$0.index]),
            ]
          })
      ])
      return
    }
    for neighbour in neighbours {
      try Output.line("\(fixed(neighbour.similarity, 4))\t\(neighbour.index + 1)\t\(texts[neighbour.index])")
    }
  }

  /// The lines of a file; an empty one is a text, too, so that vectors and lines go together.
  private static func lines(_ path: String) throws -> [String] {
    let bytes = try FileSystem.read(path)
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    // What ends the last line begins no further one.
    if lines.last?.isEmpty == true { lines.removeLast() }
    guard !lines.isEmpty else { throw CommandError("\(path): is empty; expected a text on each line") }
    let carriageReturn = UInt8(ascii: "\r")
    return lines.map { String(decoding: $0.last == carriageReturn ? $0.dropLast() : $0, as: UTF8.self) }
  }
}
