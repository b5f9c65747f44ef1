package import Formats
package import Tokenization

/// What can be wrong with text, with prepared data, or with what is asked of them.
package enum CorpusError: ContractError, Equatable {
  case file(FormatError)
  case tokenizer(path: String, TokenizationError)
  /// A folder in which no file can be read as text.
  case noText(folder: String, skipped: Int)
  /// A file that isn't text.
  case binary(path: String, reason: String)
  case unsupportedFormat(path: String, fileExtension: String)
  case badAddress(String, expected: String)
  case download(address: String, problem: String)
  /// A line of a .jsonl file that can't be used; lines count from 1.
  case badLine(path: String, line: Int, problem: String)
  /// No document was kept.
  case nothingLeft(documents: Int, dropped: [String])
  case setting(name: String, value: String, expected: String)
  /// A tokenizer that can't mark the end of a document.
  case noEndOfText(path: String)
  /// A folder that is no cleaned part of a corpus.
  case notAPart(path: String)
  /// Parts of a corpus that nobody has named.
  case missingParts([Int], count: Int)
  case partTwice(number: Int, first: String, second: String)
  /// Parts that are not of one corpus, or not for one data set.
  case partsDiffer(path: String, other: String, what: String)
  /// Raw text where prepared data is expected.
  case notPrepared(path: String)
  case noSplit(path: String, split: Split, present: [Split])
  case tooFewTokens(path: String, needed: Int, found: Int)
  /// Data sets to be mixed whose ids don't stand for the same tokens.
  case tokenizersDiffer(path: String, other: String)
  /// A task file that is neither .jsonl nor .csv.
  case taskFormat(path: String, fileExtension: String)
  /// A task file in which no example is left.
  case noExamples(path: String, expected: String, skipped: Int)
  /// An example with a label that the model doesn't know.
  case unknownLabel(path: String, line: Int, label: String, known: [String])

  package var exitCode: Int32 {
    if case .file(let error) = self { error.exitCode } else { ContractExit.data }
  }

  package var description: String {
    switch self {
    case .file(let error):
      error.description
    case .tokenizer(let path, let error):
      switch error {
      case .file, .inFile: error.description  // These name the file themselves.
      default: "\(path): \(error)"
      }
    case .noText(let folder, let skipped):
      "\(folder): no text in this folder: expected \(FileFormat.supported), found "
        + (skipped == 0 ? "none" : "only \(skipped) of other kinds")
    case .binary(let path, let reason):
      "\(path): isn't text: \(reason)"
    case .unsupportedFormat(let path, let fileExtension):
      "\(path): .\(fileExtension) files can't be read; convert it to .txt, .md or .jsonl"
    case .badAddress(let address, let expected):
      "\(address): no address that can be fetched; expected \(expected)"
    case .download(let address, let problem):
      "\(address): can't be downloaded: \(problem)"
    case .badLine(let path, let line, let problem):
      "\(path), line \(line): \(problem)"
    case .nothingLeft(let documents, let dropped):
      "nothing left to prepare: \(documents) document\(documents == 1 ? "" : "s") read"
        + (dropped.isEmpty ? "" : ", none kept (\(dropped.joined(separator: ", ")))") + "; give some text"
    case .setting(let name, let value, let expected):
      "\(name) = \(value): expected \(expected)"
    case .noEndOfText(let path):
      "\(path): the tokenizer has no token that ends a text, such as <|endoftext|>; add one or learn a tokenizer"
    case .notAPart(let path):
      "\(path): no part of a corpus: expected a folder that mayfly prepare --part has finished"
    case .missingParts(let numbers, let count):
      "\(numbers.count) of \(count) parts missing: "
        + numbers.prefix(10).map { "\($0)/\(count)" }.joined(separator: ", ") + (numbers.count > 10 ? ", …" : "")
        + "; clean them by mayfly prepare --part, or name their folders, too"
    case .partTwice(let number, let first, let second):
      "\(second): is part \(number), as \(first) is; name each part once"
    case .partsDiffer(let path, let other, let what):
      "\(path): \(what), unlike \(other); clean all parts from the same files with the same options"
    case .notPrepared(let path):
      "\(path): raw text, not prepared data; run: mayfly prepare \(path) --out DATA"
    case .noSplit(let path, let split, let present):
      "\(path): has no \(split.rawValue) split; it has \(present.map(\.rawValue).joined(separator: ", "))"
    case .tooFewTokens(let path, let needed, let found):
      "\(path): too few tokens for one row: expected at least \(needed), found \(found); "
        + "use a smaller context or more text"
    case .tokenizersDiffer(let path, let other):
      "\(path): was made with another tokenizer than \(other); prepare it again with --tokenizer \(other)"
    case .taskFormat(let path, let fileExtension):
      "\(path): expected a .jsonl or .csv file with an example on each line, found "
        + (fileExtension.isEmpty ? "a file without an extension" : ".\(fileExtension)")
    case .noExamples(let path, let expected, let skipped):
      "\(path): has no examples: expected lines with \(expected), found "
        + (skipped == 0 ? "none" : "only \(skipped) that are blank or have no answer")
    case .unknownLabel(let path, let line, let label, let known):
      "\(path): line \(line): the label \"\(label.prefix(80))\" is not among those to learn: "
        + known.prefix(20).joined(separator: ", ") + (known.count > 20 ? ", …" : "")
    }
  }
}

/// Runs what only files can spoil, as part of what more can.
package func withFiles<Result>(_ body: @autoclosure () throws(FormatError) -> Result) throws(CorpusError) -> Result {
  do {
    return try body()
  } catch {
    throw .file(error)
  }
}
