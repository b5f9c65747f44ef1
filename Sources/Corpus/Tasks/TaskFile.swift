import Formats
import Tokenization

/// The examples of a file: .jsonl has one on each line, .csv one in each record under a line that names the columns.
///
/// Blank lines and examples without an answer are skipped and counted; everything else that doesn't fit is an error.
package struct TaskFile: Sendable {
  package struct Entry: Sendable, Equatable {
    /// From 1.
    package let line: Int
    package let example: TaskExample
  }

  package let path: String
  package private(set) var entries: [Entry] = []
  package private(set) var blankLines = 0
  /// Examples whose label, answer, summary or assistant's turn is empty.
  package private(set) var withoutAnswer = 0
  /// Bytes that aren't UTF-8 and became U+FFFD.
  package let invalidSequences: Int

  package var examples: [TaskExample] { entries.map(\.example) }

  private let keepsUnanswered: Bool

  /// - Parameter keepsUnanswered: examples whose answer is empty stay, as questions without an answer do in evaluation.
  /// - Throws: ``CorpusError``, also where no example is left.
  package static func read(
    path: String, kind: TaskKind, keepsUnanswered: Bool = false
  ) throws(CorpusError) -> TaskFile {
    try TaskFile(path: path, kind: kind, keepsUnanswered: keepsUnanswered)
  }

  private init(path: String, kind: TaskKind, keepsUnanswered: Bool) throws(CorpusError) {
    self.path = path
    self.keepsUnanswered = keepsUnanswered
    let fileExtension = Path.fileExtension(path)
    guard ["jsonl", "csv"].contains(fileExtension) else {
      throw .taskFormat(path: path, fileExtension: fileExtension)
    }
    let bytes = try withFiles(try FileSystem.read(path))
    if bytes.contains(0) { throw .binary(path: path, reason: "it has NUL bytes; expected UTF-8 text") }
    let text = TextCleaner.clean(bytes)
    invalidSequences = text.invalidSequences
    if fileExtension == "csv" {
      try readCSV(text.bytes, kind)
    } else {
      try readLines(text.bytes, kind)
    }
    guard !entries.isEmpty else {
      throw .noExamples(path: path, expected: kind.fields, skipped: blankLines + withoutAnswer)
    }
  }

  private mutating func readLines(_ bytes: [UInt8], _ kind: TaskKind) throws(CorpusError) {
    let lines = LineReader(BytesStream(bytes, path: path))
    while let line = try lines.next() {
      if TextCleaner.isBlank(line) {
        blankLines += 1
        continue
      }
      let number = lines.number
      let json = try JSON.parse(line: line, number, of: path)
      guard let object = json.object else {
        throw bad(number, "expected an object with \(kind.fields), found \(json.kind)")
      }
      try add(object, kind, line: number)
    }
  }

  private mutating func readCSV(_ bytes: [UInt8], _ kind: TaskKind) throws(CorpusError) {
    let records = CSVReader(BytesStream(bytes, path: path))
    var names: [String]?
    while let record = try records.next() {
      let fields = record.texts
      if record.isBlank {
        blankLines += 1
      } else if let names {
        guard fields.count == names.count else {
          throw bad(record.line, "expected \(names.count) fields as the first line has, found \(fields.count)")
        }
        var object = JSONObject()
        for (name, field) in zip(names, fields) { _ = object.insert(name, .string(field)) }
        try add(object, kind, line: record.line)
      } else {
        guard Set(fields).count == fields.count else {
          throw bad(record.line, "a column is named twice: \(fields.joined(separator: ", "))")
        }
        names = fields
      }
    }
  }

  private mutating func add(_ object: JSONObject, _ kind: TaskKind, line: Int) throws(CorpusError) {
    let example: TaskExample
    do {
      example = try TaskFields(object: object, kind: kind).example()
    } catch {
      throw bad(line, error.problem)
    }
    if example.hasNoAnswer, !keepsUnanswered {
      withoutAnswer += 1
    } else {
      entries.append(Entry(line: line, example: example))
    }
  }

  private func bad(_ line: Int, _ problem: String) -> CorpusError {
    .badLine(path: path, line: line, problem: problem)
  }
}
