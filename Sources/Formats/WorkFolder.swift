/// Where a folder is made over a long time: hidden beside its place, under a name of its own, so that a process that was
/// killed is gone on with by the next one for the same place.
package final class WorkFolder {
  /// Where the folder will stand.
  package let path: String
  /// Where work is kept meanwhile.
  package let workPath: String
  /// Whether what was done stays when this is dropped before ``commit(_:)``.
  package var staysOnFailure = false
  private let lock: FolderLock
  private var isOpen = true

  /// - Throws: ``FormatError/exists(path:)`` where something other than an empty folder stands already;
  ///   ``FormatError/inUse(path:)`` where another process is at work; ``FormatError/unwritable(path:reason:)``.
  package init(for path: String) throws(FormatError) {
    let path = try StagedFolder.followingLinks(path)
    try StagedFolder.requireVacant(path)
    try FileSystem.createOutputFolder(Path.parent(path), for: path)
    self.path = path
    workPath = Path.join(Path.parent(path), ".\(Path.name(path)).preparing")
    do {
      try FileSystem.createFolder(workPath)
    } catch .unwritable(_, let reason) {
      throw .unwritable(path: path, reason: reason)
    }
    do {
      lock = try FolderLock(workPath)
    } catch .inUse {
      throw .inUse(path: path)
    }
  }

  deinit {
    if isOpen, !staysOnFailure { try? FileSystem.remove(workPath) }
  }

  /// A folder of the work, made if it isn't there.
  package func folder(_ name: String) throws(FormatError) -> String {
    let folder = Path.join(workPath, name)
    try FileSystem.createFolder(folder)
    return folder
  }

  /// The same, without what an earlier process left there.
  package func emptyFolder(_ name: String) throws(FormatError) -> String {
    let folder = Path.join(workPath, name)
    if FileSystem.exists(folder) { try FileSystem.remove(folder) }
    return try self.folder(name)
  }

  /// Gives a folder of the work its place, durably, and removes the rest.
  package func commit(_ name: String) throws(FormatError) {
    precondition(isOpen, "committed twice")
    let folder = Path.join(workPath, name)
    try StagedFolder.sync(folder)
    try StagedFolder.requireVacant(path)
    // An empty folder at `path` is replaced by rename itself.
    try FileSystem.move(folder, to: path)
    isOpen = false
    try FileSystem.remove(workPath)
  }
}
