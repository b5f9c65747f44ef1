import Formats

/// One of the files or folders that the user named.
struct Source {
  let name: String
  let isFolder: Bool
  /// In the order of their paths' bytes.
  var files: [SourceFile] = []
  /// Files of a folder that are of no kind that is read.
  var unsupported = 0
}

struct SourceFile {
  enum Format {
    case text, jsonLines
  }

  let path: String
  let format: Format
  /// Named by the user, not found in a folder: then what is wrong with it is an error, not a thing to skip.
  let isExplicit: Bool
}

extension Source {
  /// Finds the files of an input.
  ///
  /// A folder is searched to its bottom, links followed; hidden names are passed over. A file that is named itself
  /// may have any extension, or none, as long as it isn't one of a format that is known not to be plain text.
  init(input path: String) throws(CorpusError) {
    switch FileSystem.kind(of: path) {
    case nil:
      throw .file(.missing(path: path))
    case .folder:
      name = Path.name(path)
      isFolder = true
      var visited: Set<SIMD2<UInt64>> = []
      try addFiles(of: path, visited: &visited)
      if files.isEmpty { throw .noText(folder: path, skipped: unsupported) }
    case .file, .other:
      name = Path.name(path)
      isFolder = false
      let fileExtension = Path.fileExtension(path)
      if Self.otherFormats.contains(fileExtension) {
        throw .unsupportedFormat(path: path, fileExtension: fileExtension)
      }
      files = [SourceFile(path: path, format: Self.format(path) ?? .text, isExplicit: true)]
    }
  }

  private mutating func addFiles(of folder: String, visited: inout Set<SIMD2<UInt64>>) throws(CorpusError) {
    // A link may lead back up.
    guard let identity = FileSystem.identity(of: folder), visited.insert(identity).inserted else { return }
    for name in try withFiles(try FileSystem.names(in: folder)) where !name.hasPrefix(".") {
      let path = Path.join(folder, name)
      switch FileSystem.kind(of: path) {
      case .folder: try addFiles(of: path, visited: &visited)
      case .file:
        if let format = Self.format(path) {
          files.append(SourceFile(path: path, format: format, isExplicit: false))
        } else {
          unsupported += 1
        }
      case .other, .none: unsupported += 1
      }
    }
  }

  private static func format(_ path: String) -> SourceFile.Format? {
    switch Path.fileExtension(path) {
    case "txt", "text", "md", "markdown": .text
    case "jsonl", "ndjson": .jsonLines
    default: nil
    }
  }

  /// Formats whose bytes would be learned as if they were the text.
  private static let otherFormats: Set<String> = [
    "json", "html", "htm", "xml", "csv", "tsv", "parquet", "arrow", "pdf", "epub", "docx", "odt", "rtf", "gz", "bz2",
    "xz", "zst", "zip", "tar", "tgz", "7z", "warc", "wet", "bin", "gguf", "safetensors",
  ]
}

extension DataKind {
  /// What tells a text that is still to be prepared from others: names and sizes of its files, without reading them.
  package static func textIdentity(of path: String) throws(CorpusError) -> String {
    let files = try Source(input: path).files
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
