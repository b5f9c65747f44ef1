import Formats

/// The texts of an evaluation set, whatever its fields are called: every string in its lines counts.
package enum EvaluationTexts {
  /// - Parameter path: a text, or lines of JSON.
  package static func read(_ path: String) throws(CorpusError) -> [[UInt8]] {
    let bytes = try withFiles(try FileSystem.read(path))
    guard ["jsonl", "ndjson", "json"].contains(Path.fileExtension(path)) else {
      return [TextCleaner.clean(bytes).bytes]
    }
    var texts: [[UInt8]] = []
    for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
      let clean = TextCleaner.clean(Array(line)).bytes
      if TextCleaner.isBlank(clean) { continue }
      do {
        collect(try JSON.parse(clean), into: &texts)
      } catch {
        throw .badLine(path: path, line: index + 1, problem: "isn't JSON: byte \(error.offset): \(error.problem.text)")
      }
    }
    return texts
  }

  private static func collect(_ json: JSON, into texts: inout [[UInt8]]) {
    switch json {
    case .string(let text): texts.append(Array(text.utf8))
    case .array(let values): for value in values { collect(value, into: &texts) }
    case .object(let object): for (_, value) in object { collect(value, into: &texts) }
    default: break
    }
  }
}
