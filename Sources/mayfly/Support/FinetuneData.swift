import Corpus
import Models
import Training

/// The examples of a fine-tuning as tokens, before it is decided how long rows are.
protocol FinetuneData {
  /// The model that learns: the one it begins with, where it gets another head with that.
  var model: ModelConfig { get }
  /// Tokens of the longest example.
  var longest: Int { get }
  func rows(_ settings: Settings) throws -> FinetuneRows
}

struct FinetuneRows {
  let train: any ExampleRows
  let val: any ExampleRows
  /// What to say of examples that are longer than a row; nil: none is.
  let misfits: String?
}

extension FinetuneData {
  /// The share of the data that measures, where no file does.
  private static var valFraction: Double { 0.1 }

  /// The examples to learn, and those to measure by with the file that they are from.
  static func parts(
    of request: FinetuneRun.Request
  ) throws -> (train: [TaskFile.Entry], val: [TaskFile.Entry], valPath: String) {
    let entries = try read(request.data, request.kind).entries
    if let path = request.val { return (entries, try read(path, request.kind).entries, path) }
    let (train, val) = TaskSplit.split(entries, valFraction: valFraction)
    return (train, val, request.data)
  }

  /// Reads a file of examples and says what was left out.
  private static func read(_ path: String, _ kind: TaskKind) throws -> TaskFile {
    let file = try TaskFile.read(path: path, kind: kind)
    var skipped: [String] = []
    if file.blankLines > 0 { skipped.append("\(file.blankLines) blank lines") }
    if file.withoutAnswer > 0 { skipped.append("\(file.withoutAnswer) examples without an answer") }
    if !skipped.isEmpty { Log.line("\(path): skipped \(skipped.joined(separator: " and "))") }
    if file.invalidSequences > 0 {
      Log.line("warning: \(path): \(file.invalidSequences) byte sequences aren't UTF-8; each is read as U+FFFD")
    }
    return file
  }
}
