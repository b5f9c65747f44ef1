/// `manifest.json`: size and SHA-256 of every file of a folder, which tells a whole checkpoint from a damaged one.
package struct Manifest: Equatable, Sendable {
  package struct Entry: Equatable, Sendable {
    package let size: Int
    /// 64 hexadecimal digits.
    package let sha256: String
  }

  package static let fileName = "manifest.json"

  /// By path inside the folder, `/` between components.
  package private(set) var entries: [String: Entry] = [:]

  /// Measures every file in a folder and below it, the manifest itself and hidden ones left out.
  package init(measuring folder: String) throws(FormatError) {
    try measure(folder, prefix: "")
  }

  private mutating func measure(_ folder: String, prefix: String) throws(FormatError) {
    for name in try FileSystem.names(in: folder) where !name.hasPrefix(".") {
      let path = Path.join(folder, name)
      if FileSystem.isFolder(path) {
        try measure(path, prefix: prefix + name + "/")
      } else if prefix + name != Self.fileName {
        entries[prefix + name] = try Entry(measuring: path)
      }
    }
  }

  /// Reads a folder's manifest.
  package init(of folder: String) throws(FormatError) {
    let path = Path.join(folder, Self.fileName)
    guard FileSystem.exists(path) else { throw .manifest(folder: folder, .absent) }
    let json = try FileSystem.readJSON(path)
    guard let files = json["files"]?.object else {
      throw .content(path: path, problem: "expected an object 'files', found \(json["files"]?.kind ?? "none")")
    }
    for (name, value) in files {
      guard let size = value["size"]?.int, let sha256 = value["sha256"]?.string else {
        throw .content(path: path, problem: "expected size and sha256 for '\(name)'")
      }
      let parts = name.split(separator: "/", omittingEmptySubsequences: false)
      guard !parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) else {
        throw .content(path: path, problem: "expected names inside the folder, found '\(name)'")
      }
      entries[name] = Entry(size: size, sha256: sha256)
    }
  }

  package static func exists(in folder: String) -> Bool { FileSystem.isFile(Path.join(folder, fileName)) }

  /// Measures a folder's files and writes the manifest into it: the last thing before the folder is committed.
  package static func write(for folder: String) throws(FormatError) {
    let manifest = try Manifest(measuring: folder)
    try FileSystem.write(manifest.json.serialized(pretty: true) + "\n", to: Path.join(folder, fileName))
  }

  /// Compares every file that the manifest names; files that it doesn't name are left alone.
  ///
  /// - Throws: ``FormatError/manifest(folder:_:)`` with the first file that is missing, short, long or changed.
  package static func verify(_ folder: String) throws(FormatError) {
    try Manifest(of: folder).verify(folder)
  }

  package func verify(_ folder: String) throws(FormatError) {
    // Sizes first: a cut file is found without reading the large ones.
    let sorted = entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    for (name, entry) in sorted {
      let path = Path.join(folder, name)
      guard FileSystem.exists(path) else { throw .manifest(folder: folder, .fileMissing(name)) }
      let size = try InputFile(path: path).size
      guard size == entry.size else {
        throw .manifest(folder: folder, .sizeDiffers(name, expected: entry.size, found: size))
      }
    }
    for (name, entry) in sorted {
      let hash = try ContentHash(file: Path.join(folder, name)).hex
      guard hash == entry.sha256 else {
        throw .manifest(folder: folder, .hashDiffers(name, expected: entry.sha256, found: hash))
      }
    }
  }

  private var json: JSON {
    var files = JSONObject()
    for (name, entry) in entries.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      files[name] = ["size": JSON(entry.size), "sha256": JSON(entry.sha256)]
    }
    return ["version": 1, "files": .object(files)]
  }
}

extension Manifest.Entry {
  init(measuring path: String) throws(FormatError) {
    let hash = try ContentHash(file: path)
    self.init(size: try InputFile(path: path).size, sha256: hash.hex)
  }
}

/// How a folder differs from its manifest.
package enum ManifestProblem: Equatable, Sendable {
  case absent
  case fileMissing(String)
  case sizeDiffers(String, expected: Int, found: Int)
  case hashDiffers(String, expected: String, found: String)

  var text: String {
    switch self {
    case .absent:
      "has no \(Manifest.fileName): it isn't a whole checkpoint"
    case .fileMissing(let name):
      "\(name) is missing: the manifest names it; copy the folder again or use another checkpoint"
    case .sizeDiffers(let name, let expected, let found):
      "\(name) is cut short or has grown: expected \(expected) bytes, found \(found); "
        + "copy the folder again or use another checkpoint"
    case .hashDiffers(let name, let expected, let found):
      "\(name) is damaged: expected SHA-256 \(expected), found \(found); "
        + "copy the folder again or use another checkpoint"
    }
  }
}
