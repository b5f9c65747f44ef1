import Formats

/// Opens files as documents, one file after the other, and keeps count of what it meets.
final class FileOpener {
  private let options: ReadingOptions
  private var tally = Tally()
  /// The file that is converted right now: what was wrong in it is known when it has been read.
  private var converting: ConvertedStream?

  /// Of a file's start this much is looked at; enough for a text of ASCII whose first other characters come late.
  private static let headSize = 1 << 20

  init(_ options: ReadingOptions) { self.options = options }

  /// What was counted since the last time.
  func takeTally() -> Tally {
    endConversion()
    defer { tally = Tally() }
    return tally
  }

  private func endConversion() {
    tally.add(converting?.invalidSequences ?? 0, "repaired.invalid_characters")
    converting = nil
  }

  /// - Returns: nil for a file found in a folder that turns out not to be readable as text.
  func open(_ file: SourceFile) throws(CorpusError) -> (any DocumentSource)? {
    do throws(CorpusError) {
      let source = try openWhole(file)
      if source != nil { tally.add("files") }
      return source
    } catch {
      guard case .binary = error, !file.isExplicit else { throw error }
      tally.add("skipped.binary")
      return nil
    }
  }

  private func openWhole(_ file: SourceFile) throws(CorpusError) -> (any DocumentSource)? {
    _ = try file.download?.run()
    if file.path == Source.standardInput { return try open(StandardInput(), FileFormat(content: .text), sniffs: true) }
    switch file.format.content {
    case .parquet:
      return try ParquetSource(try withFiles(try InputFile(path: file.path)), column: options.textField)
    case .zip:
      let archive = try withFiles(try ZipArchive(try InputFile(path: file.path)))
      var entries = archive.entries[...]
      return ArchiveSource(opener: self) { () throws(FormatError) in
        guard let entry = entries.popFirst() else { return nil }
        return (entry.name, try archive.open(entry))
      }
    case .pdf:
      guard PDFText.isThere else {
        if file.isExplicit { throw PDFText.missing(file.path) }
        tally.add("skipped.pdf")
        return nil
      }
      let text = try PDFText.extract(file.path)
      return WholeTextSource(BytesStream(text, path: file.path), form: .text)
    default:
      // A pipe has no size and is read as it comes.
      let isPipe = FileSystem.kind(of: file.path) == .other
      let stream: any ByteStream =
        isPipe
        ? BytesStream(try withFiles(try FileSystem.read(file.path)), path: file.path)
        : FileStream(try withFiles(try InputFile(path: file.path)))
      return try open(stream, file.format)
    }
  }

  /// A file of an archive; nil for one of no kind that is read.
  func open(entry stream: any ByteStream, name: String) throws(CorpusError) -> (any DocumentSource)? {
    let hidden = name.split(separator: "/").contains { $0.hasPrefix(".") || $0 == "__MACOSX" }
    if hidden { return nil }
    guard let format = FileFormat(name: Path.name(name)), format.content != .tar, format.content != .zip,
      format.content != .parquet, format.content != .pdf
    else {
      tally.add("skipped.unsupported")
      return nil
    }
    do throws(CorpusError) {
      let source = try open(stream, format)
      tally.add("files")
      return source
    } catch {
      guard case .binary = error else { throw error }
      tally.add("skipped.binary")
      return nil
    }
  }

  /// - Parameter sniffs: whether JSON lines are told by their first bytes.
  private func open(
    _ stream: any ByteStream, _ format: FileFormat, sniffs: Bool = false
  ) throws(CorpusError) -> any DocumentSource {
    var stream = stream
    if let compression = format.compression { stream = try withFiles(try DecompressedStream(stream, compression)) }
    if format.content == .tar {
      let archive = TarArchive(stream)
      return ArchiveSource(opener: self) { () throws(FormatError) in
        try archive.next().map { ($0.name, $0) }
      }
    }
    let peeked = try withFiles(try PeekedStream(stream, count: Self.headSize))
    var content = format.content
    if sniffs, peeked.head.starts(with: "{\"".utf8) { content = .jsonLines }
    let text = try decoded(peeked, isHTML: content == .html)
    switch content {
    case .html: return WholeTextSource(text, form: .html)
    case .jsonLines: return LineSource(text)
    case .table(let separator): return try TableSource(text, separator: separator, column: options.textField)
    default: return WholeTextSource(text, form: .text)
    }
  }

  // MARK: Encodings

  /// The stream in UTF-8, or nearly.
  private func decoded(_ stream: PeekedStream, isHTML: Bool) throws(CorpusError) -> any ByteStream {
    endConversion()
    let head = stream.head
    if let name = options.encoding { return try converted(stream, from: name) }
    guard var encoding = TextEncoding.detect(head) else { throw Self.notText(head, path: stream.path) }
    if encoding.markLength > 0 {
      tally.add("repaired.byte_order_marks")
      stream.drop(encoding.markLength)
    } else if isHTML, !encoding.isUTF8, let named = Self.namedEncoding(head) {
      encoding = TextEncoding(name: named)
    }
    if encoding.isUTF8 {
      try Self.checkIsText(stream.head, path: stream.path)
      return stream
    }
    return try converted(stream, from: encoding.name)
  }

  private func converted(_ stream: PeekedStream, from name: String) throws(CorpusError) -> any ByteStream {
    let converted = try withFiles(try ConvertedStream(stream, from: name))
    tally.add("converted." + name)
    converting = converted
    return converted
  }

  /// What a page says of its own encoding.
  private static func namedEncoding(_ head: ArraySlice<UInt8>) -> String? {
    let start = String(decoding: head.prefix(4096), as: UTF8.self).lowercased()
    guard let found = start.firstRange(of: "charset=") else { return nil }
    let name = start[found.upperBound...].drop { $0 == "\"" || $0 == "'" || $0 == " " }.prefix {
      $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_"
    }
    return name.isEmpty || name == "utf-8" || name == "utf8" ? nil : String(name)
  }

  // MARK: What isn't text

  private static func checkIsText(_ head: ArraySlice<UInt8>, path: String) throws(CorpusError) {
    let controls = head.count { $0 < 0x20 && !(0x07...0x0D).contains($0) && $0 != 0x1B }
    if controls * 50 > head.count {
      throw .binary(path: path, reason: "\(controls) of its first \(head.count) bytes are control characters")
    }
  }

  private static func notText(_ head: ArraySlice<UInt8>, path: String) -> CorpusError {
    if head.contains(0) { return .binary(path: path, reason: "it has NUL bytes; expected text") }
    return .binary(
      path: path,
      reason: "its encoding isn't known (UTF-8, UTF-16, GB18030, Big5 and Windows-1252 are told apart); name it by "
        + "--encoding")
  }
}
