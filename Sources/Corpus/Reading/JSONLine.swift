import Formats

extension JSON {
  /// A line of a .jsonl file.
  ///
  /// - Throws: ``CorpusError/badLine(path:line:problem:)``.
  static func parse(line: some Collection<UInt8>, _ number: Int, of path: String) throws(CorpusError) -> JSON {
    do {
      return try parse(line)
    } catch {
      throw .badLine(
        path: path, line: number, problem: "isn't JSON: byte \(error.offset): \(error.problem.text)")
    }
  }
}
