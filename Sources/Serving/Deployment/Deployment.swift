import Formats
import Foundation
package import Models

/// A folder that serves a model on a machine that has nothing but its system: program, libraries, model, unit, scripts.
package struct Deployment: Sendable {
  /// Of the service, and what clients call the model: see ``isName(_:)``.
  package let name: String
  /// An address or a host's name: see ``isHost(_:)``.
  package let host: String
  package let port: Int
  package var threads: Int?

  package init(name: String, host: String, port: Int) {
    (self.name, self.host, self.port) = (name, host, port)
  }

  /// Whether a name can stand in unit files, scripts and paths as it is.
  package static func isName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count) && text.utf8.first.map(isLetterOrDigit) == true
      && text.utf8.allSatisfy { isLetterOrDigit($0) || "-_.".utf8.contains($0) }
  }

  package static func isHost(_ text: String) -> Bool {
    (1...253).contains(text.utf8.count) && !text.hasPrefix("-")
      && text.utf8.allSatisfy { isLetterOrDigit($0) || "-.:".utf8.contains($0) }
  }

  /// A name for the service of the model at a path: `mayfly-mine` for `runs/mine`.
  package static func name(for path: String) -> String {
    let last = URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent
    let clean = String(decoding: last.utf8.map { isLetterOrDigit($0) ? $0 : UInt8(ascii: "-") }, as: UTF8.self)
    let words = clean.split(separator: "-").joined(separator: "-").prefix(50)
    return words.isEmpty ? "mayfly" : "mayfly-\(words)"
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    byte < 0x80 && Character(UnicodeScalar(byte)).isLetter || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  /// Writes the folder; it is whole or not there.
  ///
  /// - Throws: ``FormatError``, ``ServingError/unitPath(_:)``.
  package func write(_ model: ModelFolder, to out: String) throws {
    let folder = try StagedFolder(path: out)
    let path = URL(fileURLWithPath: folder.path).standardizedFileURL.path
    let unit = SystemdUnit(self, folder: path)
    guard SystemdUnit.canName(path) else { throw ServingError.unitPath(path) }

    try FileSystem.createFolder(folder.file("program"))
    let program = folder.file("program/mayfly")
    try Self.copy(URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path, to: program)
    for library in try SharedLibraries.beyondTheSystem() {
      try Self.copy(library, to: folder.file("program/" + Path.name(library)))
    }
    try FileSystem.createFolder(folder.file("model"))
    for name in try model.fileNames {
      try Self.copy(Path.join(model.path, name), to: folder.file("model/" + name))
    }
    try Manifest.write(for: folder.file("model"))

    try FileSystem.write(unit.text, to: folder.file("\(name).service"))
    try FileSystem.write(readme, to: folder.file("README.md"))
    for (name, text) in [("install.sh", installScript), ("uninstall.sh", uninstallScript), ("health.sh", healthScript)]
    {
      try FileSystem.write(text, to: folder.file(name))
      chmod(folder.file(name), 0o755)
    }
    chmod(program, 0o755)
    try folder.commit()
  }

  /// Copies a file and reads the copy again.
  private static func copy(_ source: String, to target: String) throws(FormatError) {
    var hasher = ContentHasher()
    let output = try OutputFile(path: target)
    try InputFile(path: source).forEachBlock { block throws(FormatError) in
      hasher.update(block)
      try output.write(block)
    }
    try output.commit()
    guard try ContentHash(file: target) == hasher.finish() else {
      throw .unwritable(path: target, reason: "it reads otherwise than it was written; see whether the disk is sound")
    }
  }
}

extension ModelFolder {
  /// The files that computing and talking need; what training keeps beside them stays behind.
  var fileNames: [String] {
    get throws {
      let beside = [
        Self.configName, "generation_config.json", Self.tokenizerName, "tokenizer_config.json",
        "special_tokens_map.json", "chat_template.jinja",
      ]
      return try beside.filter { FileSystem.isFile(Path.join(path, $0)) } + SafetensorsFolder(path: path).fileNames
    }
  }
}
