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
    let lines = LineReader(BytesStream(bytes, path: path))
    while let line = try lines.next() {
      let clean = TextCleaner.clean(line).bytes
      if TextCleaner.isBlank(clean) { continue }
      collect(try JSON.parse(line: clean, lines.number, of: path), into: &texts)
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
