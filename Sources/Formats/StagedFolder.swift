/// A folder that is whole or not there: filled under a hidden name beside its place, synced, then renamed.
///
/// Making one is also the check, before any work, that the output can be written. One that is dropped before
/// ``commit(replacing:)`` leaves nothing behind. A process that is killed leaves a hidden folder, which the next one
/// for the same place removes, or ``removeLeftovers(in:)``.
package final class StagedFolder {
  /// Where the folder will stand.
  package let path: String
  /// Where its files are written meanwhile.
  package let workPath: String
  private var isOpen = true

  /// - Throws: ``FormatError/exists(path:)`` where something other than an empty folder stands already, unless
  ///   `replacing`; ``FormatError/unwritable(path:reason:)``.
  package init(path: String, replacing: Bool = false) throws(FormatError) {
    let path = try Self.followingLinks(path)
    if !replacing { try Self.requireVacant(path) }
    try FileSystem.createOutputFolder(Path.parent(path), for: path)
    Self.removeAbandoned(for: path)
    self.path = path
    workPath = FileSystem.temporaryName(for: path)
    do {
      try POSIX.makeFolder(workPath)
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
  }

  deinit {
    if isOpen { try? FileSystem.remove(workPath) }
  }

  /// The path of a file to be written into the folder.
  package func file(_ name: String) -> String { Path.join(workPath, name) }

  /// Makes all files durable and gives the folder its name.
  ///
  /// - Parameter replacing: a folder of that name is moved aside first and then removed.
  package func commit(replacing: Bool = false) throws(FormatError) {
    precondition(isOpen, "committed twice")
    try Self.sync(workPath)
    var aside: String?
    if replacing, FileSystem.exists(path) {
      let name = FileSystem.temporaryName(for: path)
      try FileSystem.move(path, to: name)
      aside = name
    } else {
      try Self.requireVacant(path)
    }
    // An empty folder at `path` is replaced by rename itself.
    try FileSystem.move(workPath, to: path)
    isOpen = false
    if let aside { try FileSystem.remove(aside) }
  }

  /// Removes what killed processes left in a folder that only this process writes to.
  package static func removeLeftovers(in folder: String) throws(FormatError) {
    for name in try FileSystem.names(in: folder) where name.hasPrefix(".") && name.contains(".tmp-") {
      try FileSystem.remove(Path.join(folder, name))
    }
  }

  /// Removes what ended processes have left for this place; other places of the same parent are none of our business.
  private static func removeAbandoned(for path: String) {
    let parent = Path.parent(path)
    let prefix = ".\(Path.name(path)).tmp-"
    for name in (try? FileSystem.names(in: parent)) ?? [] where name.hasPrefix(prefix) {
      guard let process = Int32(name.dropFirst(prefix.count).prefix { $0.isNumber }), process > 0,
        POSIX.hasEnded(process: process)
      else { continue }
      try? FileSystem.remove(Path.join(parent, name))
    }
  }

  /// A link to an empty folder stands for that folder: renaming replaces folders only.
  static func followingLinks(_ path: String) throws(FormatError) -> String {
    guard POSIX.isLink(path) else { return path }
    guard let target = POSIX.resolved(path) else {
      throw .unwritable(path: path, reason: "it is a link that leads nowhere")
    }
    return target
  }

  static func requireVacant(_ path: String) throws(FormatError) {
    switch FileSystem.kind(of: path) {
    case nil: return
    case .folder: if try FileSystem.names(in: path).isEmpty { return }
    case .file, .other: break
    }
    throw .exists(path: path)
  }

  static func sync(_ folder: String) throws(FormatError) {
    for name in try FileSystem.names(in: folder) {
      let path = Path.join(folder, name)
      if POSIX.isRealFolder(path) {
        try sync(path)
      } else if FileSystem.isFile(path) {
        do {
          let descriptor = try POSIX.openForReading(path)
          defer { POSIX.closeQuietly(descriptor) }
          try POSIX.sync(descriptor)
        } catch {
          throw .unwritable(path: path, reason: error.reason)
        }
      }
    }
    POSIX.syncFolder(folder)
  }
}
