import ArgumentParser
import Corpus
import Formats
import Tokenization

/// Makes a data set of text.
struct Prepare: ParsableCommand {
  enum Pattern: String, ExpressibleByArgument, CaseIterable {
    case gpt2, cl100k

    var split: SplitPattern {
      switch self {
      case .gpt2: .gpt2
      case .cl100k: .cl100k(digits: 3)
      }
    }
  }

  static let configuration = CommandConfiguration(
    abstract: "Clean, deduplicate and split text, and turn it into tokens.",
    discussion: """
      Reads .txt and .md files (each is a document), .jsonl files (each line is one, its text under "text"), and \
      folders of them. Writes a folder that 'mayfly train --data' takes, with a report in report.html.

      A document's split follows from a hash of its text, so it stays when others are added. Documents over 1 MiB, \
      and a corpus in which a split would come out empty, are split by blocks instead: train, then val, then test.
      """)

  @Argument(help: "Files and folders of text.")
  var inputs: [String]

  @Option(help: "The folder to make.")
  var out: String

  @Option(help: "Learn a vocabulary of this size (default: 1,024 to 32,768, by the amount of text).")
  var vocabSize: Int?

  @Option(help: "How text is cut into words: gpt2 or cl100k (default: \(PrepareOptions.defaultPattern.name)).")
  var pattern: Pattern?

  @Option(help: "Take this tokenizer.json, or a model's or folder's, instead of learning one.")
  var tokenizer: String?

  @Option(help: "The share of the text to validate with.")
  var valFraction = PrepareOptions.defaultValFraction

  @Option(help: "The share of the text to test with.")
  var testFraction = PrepareOptions.defaultTestFraction

  @Flag(help: "Print one JSON document.")
  var json = false

  func validate() throws {
    if out.isEmpty { throw ValidationError("--out: expected the name of a folder") }
    if tokenizer != nil, vocabSize != nil || pattern != nil {
      throw ValidationError("--tokenizer takes a tokenizer as it is: leave out --vocab-size and --pattern")
    }
  }

  func run() throws {
    var options = try PrepareOptions(
      inputs: inputs, output: out, valFraction: valFraction, testFraction: testFraction)
    if let tokenizer {
      options.tokenizer = .take(path: try Tokenize.tokenizerPath(tokenizer))
    } else {
      let pattern = pattern?.split ?? PrepareOptions.defaultPattern
      options.tokenizer = .learn(vocabularySize: vocabSize, pattern: pattern)
    }
    let summary = try Preparation(options, notify: PreparedData.show).run()
    if json { try Output.json(summary.json) } else { try Output.write(Self.text(summary, folder: out)) }
  }

  private static func text(_ summary: DatasetSummary, folder: String) -> String {
    let dropped = summary.dropped.values.reduce(0, +)
    var lines = [
      "\(summary.documentsKept) of \(summary.documentsIn) documents kept"
        + (dropped > 0 ? " (\(dropped) empty or repeated)" : "")
    ]
    for split in Split.allCases {
      guard let statistics = summary.splits[split] else { continue }
      let bytes = Double(statistics.bytes)
      let ratio = statistics.tokens > 0 ? fixed(bytes / Double(statistics.tokens), 2) : "-"
      lines.append(
        "\(split.rawValue.padded(to: 6))\(compact(Double(statistics.tokens))) tokens from \(compact(bytes)) bytes "
          + "(\(ratio) bytes per token)")
    }
    lines.append("vocabulary of \(summary.vocabularySize) tokens; report: \(Path.join(folder, "report.html"))")
    return lines.joined(separator: "\n") + "\n"
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
