import ArgumentParser
import Corpus
import Formats
import Foundation
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
      Reads .txt, .md, .html and .pdf files (each is a document), .jsonl, .csv, .tsv and .parquet files (each line or row is \
      one, its text under "text"), .gz, .zst and .xz files, .tar and .zip archives of them, folders of all these, and - for \
      standard input. Encodings are told from the bytes. Writes a folder that 'mayfly train --data' takes, with a report in \
      report.html.

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

  @OptionGroup(title: "Cleaning") var cleaning: CleaningArguments

  @Option(help: "The key of the text in .jsonl, the column in .csv, .tsv and .parquet.")
  var textField = "text"

  @Option(help: "The encoding of all files, as iconv names it (default: told from the bytes).")
  var encoding: String?

  @Option(help: "Threads (default: one for each core).")
  var workers: Int?

  @Option(help: "Memory to keep within, such as 500M or 2G.")
  var memory = "2G"

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
    options.cleaning = try cleaning.options()
    options.deduplication = cleaning.dedupe
    options.reading.textField = textField
    options.reading.encoding = encoding
    options.workers = try Self.workers(workers)
    options.memory = try Self.bytes(memory)
    let summary = try Preparation(options, notify: PreparedData.show).run()
    if json { try Output.json(summary.json) } else { try Output.write(Self.text(summary, folder: out)) }
  }

  static func workers(_ asked: Int?) throws -> Int {
    guard let asked else { return ProcessInfo.processInfo.activeProcessorCount }
    guard (1...1024).contains(asked) else {
      throw CorpusError.setting(name: "--workers", value: "\(asked)", expected: "from 1 to 1,024")
    }
    return asked
  }

  private static func bytes(_ text: String) throws -> Int {
    let units: [Character: Int] = ["k": 10, "m": 20, "g": 30, "t": 40]
    let lower = text.lowercased()
    let shift = lower.last.flatMap { units[$0] }
    let digits = shift == nil ? lower[...] : lower.dropLast()
    guard let number = Double(digits), number > 0, number * Double(1 << (shift ?? 0)) < 0x1p60 else {
      throw CorpusError.setting(name: "--memory", value: text, expected: "a number of bytes, such as 500M or 2G")
    }
    let bytes = Int(number * Double(1 << (shift ?? 0)))
    guard bytes >= PrepareOptions.leastMemory else {
      throw CorpusError.setting(
        name: "--memory", value: text, expected: "at least \(PrepareOptions.leastMemory >> 20)M")
    }
    return bytes
  }

  private static func text(_ summary: DatasetSummary, folder: String) -> String {
    let dropped = summary.dropped.values.reduce(0, +)
    var lines = [
      "\(summary.documentsKept) of \(summary.documentsIn) documents kept"
        + (dropped > 0 ? " (\(dropped) left out)" : "")
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
