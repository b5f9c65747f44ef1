import Formats

extension TaskKind {
  /// The field that no other kind has, in the order in which they are looked for.
  private static let marks: [(field: String, kind: TaskKind)] = [
    ("choices", .choice), ("prompt", .prompt), ("question", .qa), ("document", .summarize), ("text", .classify),
    ("messages", .chat), ("a", .similarity), ("prediction", .predictions),
  ]

  /// The kind that the fields of a file's first example stand for.
  ///
  /// - Throws: ``CorpusError``, also where they stand for none.
  package static func detect(path: String) throws(CorpusError) -> TaskKind {
    let fileExtension = Path.fileExtension(path)
    guard ["jsonl", "csv"].contains(fileExtension) else {
      throw .taskFormat(path: path, fileExtension: fileExtension)
    }
    let text = TextCleaner.clean(try withFiles(try FileSystem.read(path)))
    let all = marks.map(\.kind.fields).joined(separator: "; ")
    let lines = text.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    guard let index = lines.firstIndex(where: { !TextCleaner.isBlank(Array($0)) }) else {
      throw .noExamples(path: path, expected: all, skipped: lines.count - 1)
    }
    let fields: [String]
    if fileExtension == "csv" {
      let line = BytesStream(Array(lines[index]), path: path)
      fields = try CSVReader(line, linesBefore: index).next()?.texts ?? []
    } else {
      fields = try JSON.parse(line: lines[index], index + 1, of: path).object?.keys ?? []
    }
    guard let mark = marks.first(where: { fields.contains($0.field) }) else {
      let found = fields.isEmpty ? "none" : fields.prefix(8).map { String($0.prefix(40)) }.joined(separator: ", ")
      throw .badLine(path: path, line: index + 1, problem: "expected the fields of a task (\(all)), found \(found)")
    }
    return mark.kind
  }
}
