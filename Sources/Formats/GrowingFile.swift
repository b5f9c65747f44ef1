#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A file that grows while others read it: what is appended is theirs to see within a second, as long as more comes.
package final class GrowingFile {
  package let path: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var lastFlush = ContinuousClock.now

  private static let flushInterval = Duration.seconds(1)

  /// Opens a file to write behind what it holds; one that isn't there is made.
  ///
  /// - Throws: ``FormatError/unwritable(path:reason:)``.
  package init(path: String) throws(FormatError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .unwritable(path: path, reason: SystemError(code: errno).reason) }
  }

  deinit { POSIX.closeQuietly(descriptor) }

  package func append(_ bytes: some Collection<UInt8>) throws(FormatError) {
    buffer += bytes
    if ContinuousClock.now - lastFlush >= Self.flushInterval { try flush() }
  }

  package func flush() throws(FormatError) {
    lastFlush = .now
    guard !buffer.isEmpty else { return }
    let length = try? POSIX.status(descriptor).size
    do {
      try buffer.lendBytes { bytes throws(SystemError) in try POSIX.appendFully(descriptor, bytes) }
    } catch {
      // Nothing half stays, as what a disk had room for: all of it is written when there is room again.
      if let length { try? POSIX.cut(descriptor, to: length) }
      throw .unwritable(path: path, reason: error.reason)
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes what is left, down to the disk. Some files can't be synced; what they hold is as safe as it gets.
  package func synchronize() throws(FormatError) {
    try flush()
    try? POSIX.sync(descriptor)
  }
}
