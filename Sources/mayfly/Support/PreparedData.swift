import Corpus
import Formats

/// DATA as the contract has it: opened, or prepared first if it is text.
enum PreparedData {
  /// - Parameters:
  ///   - folder: where text is prepared into.
  ///   - tokenizer: of the model that the text is for; nil learns one.
  ///   - mostTokens: of a vocabulary that is learned; nil: as the text allows.
  ///   - mayBeThere: whether what an earlier process prepared there will do (a resumed run).
  static func open(
    _ path: String, preparingInto folder: String, with tokenizer: String?, mostTokens: Int? = nil, mayBeThere: Bool
  ) throws -> Dataset {
    guard case .text = try DataKind.detect(path) else { return try Dataset(path: path) }
    if FileSystem.isFile(Path.join(folder, "dataset.json")) {
      guard !mayBeThere else { return try Dataset(path: folder) }
      // Perhaps of another text, and perhaps of hours of work: only the user can say.
      throw CommandError(
        "\(folder): holds prepared data already, of an earlier start; train on it with --data \(folder), or remove it",
        exitCode: ContractExit.output)
    }
    Log.line("preparing \(path)")
    var options = try PrepareOptions(inputs: [path], output: folder)
    if let tokenizer { options.tokenizer = .take(path: tokenizer) }
    options.mostTokens = mostTokens
    let summary = try Preparation(options, notify: show).run()
    Log.line("prepared \(summary.documentsKept) documents into \(folder)")
    return try Dataset(path: folder)
  }

  static func show(_ event: PrepareEvent) {
    switch event {
    case .stage(let text): Log.line(text)
    case .warning(let text): Log.line("warning: " + text)
    }
  }
}
