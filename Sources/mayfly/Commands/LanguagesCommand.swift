import ArgumentParser
import Corpus
import Formats

/// Models that tell languages, for `prepare --languages`.
struct Languages: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learn to tell languages, or tell those of texts.",
    discussion: """
      Scripts/learn-languages fetches texts in some forty languages and learns a model of them. With texts of your own:

        mayfly languages learn my-texts --out languages.safetensors      my-texts/en, my-texts/zh, ...
        mayfly prepare pages --out data --language-model languages.safetensors --languages en,zh
      """,
    subcommands: [Learn.self, Tell.self])

  struct Learn: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Learn a model from a folder of texts for each language.")

    @Argument(help: "A folder with a folder for each language, named by its code, of any texts that 'prepare' reads.")
    var folder: String

    @Option(help: "The file to make.")
    var out: String

    func run() throws {
      let model = try LanguageLearner.learn(from: folder)
      try model.write(to: out)
      try Output.line("\(out): \(model.languages.count) languages: \(model.languages.joined(separator: ", "))")
    }
  }

  struct Tell: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tell the language of each document, and how probable it is among those that the model knows.")

    @Argument(help: "A model, as 'languages learn' or Scripts/learn-languages makes it.")
    var model: String

    @Argument(help: "Files and folders of text, or - for standard input.")
    var inputs: [String]

    @Option(help: "The key of the text in .jsonl, the column in .csv, .tsv and .parquet.")
    var textField = "text"

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() throws {
      let model = try LanguageModel(path: model)
      var documents: [JSON] = []
      for input in inputs {
        try DocumentTexts.forEach(in: input, textField: textField) { text throws(CorpusError) in
          let found = text.withUnsafeBytes { model.language(of: $0) }
          documents.append([
            "language": found.map { .string($0.name) } ?? .null,
            "probability": found.map { .number($0.probability) } ?? .null,
          ])
        }
      }
      if json { return try Output.json(["documents": .array(documents)]) }
      for document in documents {
        try Output.line(
          document["language"]?.string.map { "\($0)\t\(fixed(document["probability"]?.double ?? 0, 3))" } ?? "–")
      }
    }
  }
}
