import Formats

/// One of the inputs that the user named.
struct Source: Sendable {
  let name: String
  /// In the order of their paths' bytes.
  var files: [SourceFile] = []
  /// Files of a folder that are of no kind that is read.
  var unsupported = 0
}

struct SourceFile: Sendable {
  let path: String
  let format: FileFormat
  /// Named by the user, not found in a folder: then what is wrong with it is an error, not a thing to skip.
  let isExplicit: Bool
  /// What brings it here, where it isn't yet.
  var download: Download?
}

/// What a file's name says of its content.
struct FileFormat: Equatable, Sendable {
  enum Content: Equatable, Sendable {
    case text, html, jsonLines, pdf, parquet, tar, zip
    case table(separator: UInt8)
  }

  var content: Content
  var compression: Compression?

  /// nil for a name of no kind that is read.
  init?(name: String) {
    let fileExtension = Path.fileExtension(name)
    if fileExtension == "tgz" || fileExtension == "txz" {
      self.init(content: .tar, compression: Compression(fileExtension: fileExtension))
    } else if let compression = Compression(fileExtension: fileExtension) {
      guard let content = Self.content(Path.fileExtension(String(name.dropLast(fileExtension.count + 1)))) else {
        return nil
      }
      // These are read from any place, which a stream can't be.
      guard content != .parquet, content != .zip, content != .pdf else { return nil }
      self.init(content: content, compression: compression)
    } else {
      guard let content = Self.content(fileExtension) else { return nil }
      self.init(content: content)
    }
  }

  init(content: Content, compression: Compression? = nil) {
    self.content = content
    self.compression = compression
  }

  private static func content(_ fileExtension: String) -> Content? {
    switch fileExtension {
    case "txt", "text", "md", "markdown": .text
    case "html", "htm", "xhtml": .html
    case "jsonl", "ndjson": .jsonLines
    case "csv": .table(separator: UInt8(ascii: ","))
    case "tsv": .table(separator: UInt8(ascii: "\t"))
    case "parquet": .parquet
    case "pdf": .pdf
    case "tar": .tar
    case "zip": .zip
    default: nil
    }
  }

  /// In words.
  static let supported =
    ".txt, .md, .html, .jsonl, .csv, .tsv, .parquet, .pdf, .tar, .zip (and .gz, .zst, .xz of these)"
}

extension Source {
  static let standardInput = "-"

  /// Finds the files of an input.
  ///
  /// A folder is searched to its bottom, links followed; hidden names are passed over. A file that is named itself
  /// may have any extension, or none, as long as it isn't one of a format that is known not to be plain text.
  ///
  /// An https:// address is downloaded at once. Of an hf:// dataset only the list of its files is; each of them is when
  /// it is opened.
  init(input path: String, notify: @escaping @Sendable (PrepareEvent) -> Void) throws(CorpusError) {
    if RemoteFile.isRemote(path) {
      try self.init(remote: path, notify: notify)
    } else {
      try self.init(local: path)
    }
  }

  init(local path: String) throws(CorpusError) {
    name = path == Self.standardInput ? "standard input" : Path.name(path)
    if path == Self.standardInput {
      files = [SourceFile(path: path, format: FileFormat(content: .text), isExplicit: true)]
      return
    }
    switch FileSystem.kind(of: path) {
    case nil:
      throw .file(.missing(path: path))
    case .folder:
      var visited: Set<SIMD2<UInt64>> = []
      try addFiles(of: path, visited: &visited)
      if files.isEmpty { throw .noText(folder: path, skipped: unsupported) }
    case .file, .other:
      files = [SourceFile(path: path, format: try Self.format(ofNamed: path), isExplicit: true)]
    }
  }

  private init(remote address: String, notify: @escaping @Sendable (PrepareEvent) -> Void) throws(CorpusError) {
    if address.lowercased().hasPrefix("hf://") {
      let dataset = try HubDataset(address)
      name = dataset.name
      notify(.stage("asking the hub for \(dataset.name)"))
      let found = try dataset.files()
      unsupported = found.unsupported
      files = found.files.compactMap { file in
        let download = Download(file, headers: HubDataset.headers, notify: notify)
        return FileFormat(name: file.name).map {
          SourceFile(path: download.path, format: $0, isExplicit: false, download: download)
        }
      }
    } else {
      let file = try RemoteFile(address: address)
      name = file.name
      let format = try Self.format(ofNamed: file.name)
      files = [SourceFile(path: try Download(file, notify: notify).run(), format: format, isExplicit: true)]
    }
  }

  /// - Parameter path: of a file that the user named.
  private static func format(ofNamed path: String) throws(CorpusError) -> FileFormat {
    let fileExtension = Path.fileExtension(path)
    if otherFormats.contains(fileExtension) { throw .unsupportedFormat(path: path, fileExtension: fileExtension) }
    return FileFormat(name: Path.name(path))
      ?? FileFormat(content: .text, compression: Compression(fileExtension: fileExtension))
  }

  private mutating func addFiles(of folder: String, visited: inout Set<SIMD2<UInt64>>) throws(CorpusError) {
    // A link may lead back up.
    guard let identity = FileSystem.identity(of: folder), visited.insert(identity).inserted else { return }
    for name in try withFiles(try FileSystem.names(in: folder)) where !name.hasPrefix(".") {
      let path = Path.join(folder, name)
      switch FileSystem.kind(of: path) {
      case .folder: try addFiles(of: path, visited: &visited)
      case .file:
        if let format = FileFormat(name: name) {
          files.append(SourceFile(path: path, format: format, isExplicit: false))
        } else {
          unsupported += 1
        }
      case .other, .none: unsupported += 1
      }
    }
  }

  /// Formats whose bytes would be learned as if they were the text.
  private static let otherFormats: Set<String> = [
    "json", "xml", "arrow", "feather", "epub", "docx", "doc", "odt", "rtf", "bz2", "7z", "rar", "warc", "wet", "bin",
    "gguf",
    "safetensors", "xlsx", "xls", "pptx",
  ]
}

extension DataKind {
  /// What tells a text that is still to be prepared from others: names and sizes of its files, without reading them.
  package static func textIdentity(of path: String) throws(CorpusError) -> String {
    // A run whose text is prepared needs the network no more.
    if RemoteFile.isRemote(path) { return path }
    let files = try Source(local: path).files
    var (bytes, text) = (0, "")
    for file in files {
      let size = try withFiles(try InputFile(path: file.path).size)
      bytes += size
      text += "\(file.path.dropFirst(path.count)) \(size)\n"
    }
    return
      "\(files.count) files of \(bytes) bytes, SHA-256 of names and sizes \(ContentHash(Array(text.utf8)).hex.prefix(16))"
  }
}
