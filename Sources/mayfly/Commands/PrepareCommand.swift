import ArgumentParser
import Compute
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

      Several machines share the work: each cleans a part of the files (--part 0/8 to --part 7/8, each with an --out of \
      its own), then --merge makes of the parts' folders what one process would have made of all files. \
      Scripts/prepare-slurm does both on a cluster.
      """)

  @Argument(help: "Files and folders of text; with --merge, the folders of all parts.")
  var inputs: [String]

  @Option(help: "The folder to make.")
  var out: String

  @Option(help: "Learn a vocabulary of this size (default: 1,024 to 32,768, by the amount of text).")
  var vocabSize: Int?

  @Option(help: "How text is cut into words: gpt2 or cl100k (default: \(PrepareOptions.defaultPattern.name)).")
  var pattern: Pattern?

  @Option(help: "Take this tokenizer.json, or a model's or folder's, instead of learning one.")
  var tokenizer: String?

  @Option(help: "The share of the text to validate with (default: \(PrepareOptions.defaultValFraction)).")
  var valFraction: Double?

  @Option(help: "The share of the text to test with (default: \(PrepareOptions.defaultTestFraction)).")
  var testFraction: Double?

  @Option(help: "Another number gives another split of the documents (default: 0).")
  var seed: UInt64?

  @Option(help: ArgumentHelp("Only clean the i-th of n parts of the files, from 0, for --merge.", valueName: "i/n"))
  var part: String?

  @Flag(help: "Make the data set of parts, by the options that they were cleaned with unless others are given.")
  var merge = false

  @OptionGroup(title: "Cleaning") var cleaning: CleaningArguments

  @Option(help: "The key of the text in .jsonl, the column in .csv, .tsv and .parquet (default: text).")
  var textField: String?

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
    if merge {
      var given = cleaning.given
      if part != nil { given.append("--part") }
      if textField != nil { given.append("--text-field") }
      if encoding != nil { given.append("--encoding") }
      if !given.isEmpty {
        throw ValidationError("--merge takes parts as they were cleaned: leave out \(given.joined(separator: ", "))")
      }
    }
  }

  func run() throws {
    var options = try PrepareOptions(inputs: inputs, output: out)
    options.workers = try Self.workers(workers)
    options.memory = try Self.bytes(memory)
    let choices = try choices()
    if merge {
      try show(try PartMerge(options, choices, notify: PreparedData.show).run())
      return
    }
    try options.choose(choices)
    options.cleaning = try cleaning.options()
    if let textField { options.reading.textField = textField }
    options.reading.encoding = encoding
    guard let part else {
      try show(try Preparation(options, notify: PreparedData.show).run())
      return
    }
    options.part = try PartNumber(part)
    let summary = try PartPreparation(options, notify: PreparedData.show).run()
    if json { try Output.json(summary.json) } else { try Output.write(Self.text(summary)) }
  }

  /// What is said of the data set, apart from the cleaning of its text.
  private func choices() throws -> DatasetChoices {
    var choices = DatasetChoices()
    choices.deduplication = cleaning.dedupe
    choices.valFraction = valFraction
    choices.testFraction = testFraction
    choices.seed = seed
    choices.vocabularySize = vocabSize
    choices.pattern = pattern?.split
    choices.tokenizer = try tokenizer.map { try Tokenize.tokenizerPath($0) }
    return choices
  }

  private func show(_ summary: DatasetSummary) throws {
    if json { try Output.json(summary.json) } else { try Output.write(Self.text(summary, folder: out)) }
  }

  static func workers(_ asked: Int?) throws -> Int {
    guard let asked else { return Processors.usable }
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

  private static func text(_ summary: PartPreparation.Summary) -> String {
    let part = summary.part
    let bytes = compact(Double(summary.bytes))
    return "part \(part.index) of \(part.count): \(bytes) bytes in \(summary.documents) documents, "
      + "of \(summary.files) files\nwhen all are there: mayfly prepare --merge PART… --out DATA\n"
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
