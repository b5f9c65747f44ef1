import Formats

/// Reads the documents of a file: a .txt or .md file is one, a .jsonl file has one on each line.
struct DocumentReader {
  /// The key of the text in a line of .jsonl.
  var textField = "text"

  /// Hands over each document, cleaned, in the order of the file.
  ///
  /// - Returns: false for a file found in a folder that isn't text after all; nothing was handed over then.
  func forEachDocument(
    of file: SourceFile, _ body: (CleanText) throws(CorpusError) -> Void
  ) throws(CorpusError) -> Bool {
    do {
      switch file.format {
      case .text:
        let bytes = try withFiles(try FileSystem.read(file.path))
        try checkIsText(bytes, file)
        try body(TextCleaner.clean(bytes))
      case .jsonLines:
        try forEachLine(of: file, body)
      }
      return true
    } catch {
      if case .binary = error, !file.isExplicit { return false }
      throw error
    }
  }

  // MARK: Lines

  private func forEachLine(
    of file: SourceFile, _ body: (CleanText) throws(CorpusError) -> Void
  ) throws(CorpusError) {
    let input = try withFiles(try InputFile(path: file.path))
    var block = [UInt8](repeating: 0, count: 1 << 20)
    var line: [UInt8] = []
    var number = 0
    var offset = 0
    while true {
      let count = try block.lendMutableBytes { buffer throws(CorpusError) in
        try withFiles(try input.readUpTo(into: buffer, at: offset))
      }
      if offset == 0 { try checkIsText(block[..<count], file) }
      if count == 0 { break }
      offset += count
      var start = 0
      while let end = block[start..<count].firstIndex(of: UInt8(ascii: "\n")) {
        line.append(contentsOf: block[start..<end])
        number += 1
        try readLine(line, number, file, body)
        line.removeAll(keepingCapacity: true)
        start = end + 1
      }
      line.append(contentsOf: block[start..<count])
    }
    if !line.isEmpty { try readLine(line, number + 1, file, body) }
  }

  private func readLine(
    _ line: [UInt8], _ number: Int, _ file: SourceFile, _ body: (CleanText) throws(CorpusError) -> Void
  ) throws(CorpusError) {
    func bad(_ problem: String) -> CorpusError { .badLine(path: file.path, line: number, problem: problem) }
    // JSON must be UTF-8: what isn't is repaired before it is read, and counted as in any text.
    let repaired = TextCleaner.clean(line)
    if TextCleaner.isBlank(repaired.bytes) { return }
    let json: JSON
    do {
      json = try JSON.parse(repaired.bytes)
    } catch {
      throw bad("isn't JSON: byte \(error.offset): \(error.problem.text)")
    }
    guard let value = json[textField] else {
      throw bad(
        json.object == nil
          ? "expected an object with the key \"\(textField)\", found \(json.kind)"
          : "has no key \"\(textField)\"; expected an object with that key")
    }
    guard let text = value.string else { throw bad("\"\(textField)\": expected a string, found \(value.kind)") }
    var clean = TextCleaner.clean(Array(text.utf8))
    clean.invalidSequences += repaired.invalidSequences
    try body(clean)
  }

  // MARK: What isn't text

  private func checkIsText(_ bytes: some RandomAccessCollection<UInt8>, _ file: SourceFile) throws(CorpusError) {
    let head = bytes.prefix(1 << 16)
    if head.contains(0), head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) {
      throw .binary(path: file.path, reason: "it looks like UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE")
    }
    if head.contains(0) { throw .binary(path: file.path, reason: "it has NUL bytes; expected UTF-8 text") }
    let controls = head.count { $0 < 0x20 && !(0x07...0x0D).contains($0) && $0 != 0x1B }
    if controls * 50 > head.count {
      throw .binary(path: file.path, reason: "\(controls) of its first \(head.count) bytes are control characters")
    }
  }
}
