/// Keeps other processes that ask for it out of a folder, as long as it lives. It leaves no file behind, and a process
/// that ends in whatever way lets go.
package final class FolderLock {
  private let descriptor: Int32

  /// - Throws: ``FormatError/inUse(path:)`` where another process has it.
  package init(_ folder: String) throws(FormatError) {
    do {
      descriptor = try POSIX.openForReading(folder)
    } catch {
      throw FileSystem.readError(error, folder)
    }
    // Closed by deinit, which runs from here on also when this throws.
    guard POSIX.lock(descriptor) else { throw .inUse(path: folder) }
  }

  /// Whether another process has a folder.
  package static func isHeld(_ folder: String) -> Bool {
    do {
      _ = try FolderLock(folder)
      return false
    } catch {
      return error == .inUse(path: folder)
    }
  }

  deinit { POSIX.closeQuietly(descriptor) }
}
