import Formats

/// The texts of all documents of an input, one after the other, as `prepare` reads them and without any cleaning but
/// that of UTF-8 and line ends.
package enum DocumentTexts {
  /// - Parameters:
  ///   - input: a file, a folder, or - for standard input.
  ///   - textField: the key of the text in .jsonl, the column in tables.
  ///   - body: gets every text, empty ones too; not blank lines of .jsonl.
  package static func forEach(
    in input: String, textField: String = "text", _ body: ([UInt8]) throws(CorpusError) -> Void
  ) throws(CorpusError) {
    var reading = ReadingOptions()
    reading.textField = textField
    let opener = FileOpener(reading)
    var cleaner = DocumentCleaner(
      CleaningOptions(), contamination: Contamination([]), stopWords: nil, textField: textField, signs: false)
    for file in try Source(input: input, notify: { _ in }).files {
      guard let documents = try opener.open(file) else { continue }
      while let document = try documents.next() {
        switch try cleaner.clean(document, path: file.path) {
        case .kept(let text, _), .dropped(_, let text): try body(text)
        case .nothing: break
        }
      }
    }
  }
}
