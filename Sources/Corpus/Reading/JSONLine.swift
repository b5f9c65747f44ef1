import Formats

extension JSON {
  /// A line of a .jsonl file.
  ///
  /// - Throws: ``CorpusError/badLine(path:line:problem:)``.
  static func parse(line: some Collection<UInt8>, _ number: Int, of path: String) throws(CorpusError) -> JSON {
    try parse(number, of: path) { () throws(JSONError) in try parse(line) }
  }

  /// As ``parse(line:_:of:)``, but unpaired surrogates become U+FFFD; and how many there were.
  static func parse(
    repairing line: [UInt8], _ number: Int, of path: String
  ) throws(CorpusError) -> (json: JSON, replaced: Int) {
    try parse(number, of: path) { () throws(JSONError) in try parseReplacingSurrogates(line) }
  }

  private static func parse<Result>(
    _ number: Int, of path: String, _ parse: () throws(JSONError) -> Result
  ) throws(CorpusError) -> Result {
    do {
      return try parse()
    } catch {
      throw .badLine(
        path: path, line: number, problem: "isn't JSON: byte \(error.offset): \(error.problem.text)")
    }
  }
}
