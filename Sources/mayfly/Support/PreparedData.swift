import Corpus
import Formats

/// DATA as the contract has it: opened, or prepared first if it is text.
enum PreparedData {
  /// Several data sets as one, each prepared already.
  ///
  /// - Throws: ``CommandError`` where one is text: only the user can say which tokenizer is to serve all.
  static func open(all paths: [String]) throws -> Dataset {
    guard paths.count > 1 else { return try Dataset(path: paths[0]) }
    return try Dataset(
      mixing: paths.map { path in
        guard case .text = try DataKind.detect(path) else { return try Dataset(path: path) }
        throw CommandError(
          "\(path): is text; of several --data each must be prepared, all with one tokenizer: mayfly prepare \(path) "
            + "--tokenizer OTHER-DATA --out DATA")
      })
  }

  /// A text as data.
  ///
  /// - Parameters:
  ///   - folder: where it is prepared into.
  ///   - tokenizer: of the model that the text is for; nil learns one.
  ///   - mostTokens: of a vocabulary that is learned; nil: as the text allows.
  ///   - threads: nil: one for each core.
  ///   - mayBeThere: whether what an earlier process prepared there will do (a resumed run).
  static func prepare(
    _ path: String, into folder: String, with tokenizer: String?, mostTokens: Int?, threads: Int?, mayBeThere: Bool
  ) throws -> Dataset {
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
    options.workers = try Prepare.workers(threads)
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
