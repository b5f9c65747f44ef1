/// What reading files has met, beside documents.
struct ReadingCounts: Sendable, Equatable {
  /// Files read; of an archive, each in it.
  var files = 0
  var unsupported = 0
  var binary = 0
  /// PDF files where nothing is there to read them with.
  var unreadablePDF = 0
  /// Files by their encoding, those in UTF-8 left out.
  var converted: [String: Int] = [:]
  var byteOrderMarks = 0
  /// Bytes that were no characters in a file's encoding.
  var invalidSequences = 0

  mutating func add(_ other: ReadingCounts) {
    files += other.files
    unsupported += other.unsupported
    binary += other.binary
    unreadablePDF += other.unreadablePDF
    converted.merge(other.converted, uniquingKeysWith: +)
    byteOrderMarks += other.byteOrderMarks
    invalidSequences += other.invalidSequences
  }
}

/// How files are to be read.
package struct ReadingOptions: Sendable, Equatable {
  /// The key of the text in a line of .jsonl, the column of a table.
  package var textField = "text"
  /// As iconv names it; nil: told from the bytes.
  package var encoding: String?

  package init() {}
}
