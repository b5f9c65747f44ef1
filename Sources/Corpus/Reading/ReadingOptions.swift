/// How files are to be read.
package struct ReadingOptions: Sendable, Equatable {
  /// The key of the text in a line of .jsonl, the column of a table.
  package var textField = "text"
  /// As iconv names it; nil: told from the bytes.
  package var encoding: String?

  package init() {}
}
