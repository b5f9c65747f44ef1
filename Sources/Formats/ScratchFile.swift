/// A file for what doesn't fit in memory: appended to, read at any place.
///
/// One of a folder has no name and is gone with its last reference; one with a path stays.
package final class ScratchFile {
  private let descriptor: Int32
  private let folder: String
  private var buffer: [UInt8] = []
  /// Bytes appended so far.
  package private(set) var size = 0

  private static let bufferSize = 1 << 18

  /// - Parameter folder: where the bytes are kept; it is shown in errors.
  package init(in folder: String) throws(FormatError) {
    self.folder = folder
    let path = FileSystem.temporaryName(for: Path.join(folder, "scratch"))
    do {
      descriptor = try POSIX.create(path)
      // Without a name it can't be left behind, even by a process that is killed.
      try POSIX.removeFile(path)
    } catch {
      throw .unwritable(path: folder, reason: error.reason)
    }
    buffer.reserveCapacity(Self.bufferSize)
  }

  /// Goes on behind the first `size` bytes of a file; what it holds beyond is cut off.
  ///
  /// - Throws: ``FormatError/cutShort(path:expected:found:)`` where it has fewer.
  package init(path: String, keeping size: Int) throws(FormatError) {
    folder = path
    do {
      descriptor = try POSIX.openForAppending(path)
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
    self.size = size
    do {
      let found = try POSIX.status(descriptor).size
      guard found >= size else { throw FormatError.cutShort(path: path, expected: size, found: found) }
      try POSIX.cut(descriptor, to: size)
    } catch let error as FormatError {
      throw error
    } catch {
      throw .unwritable(path: path, reason: "\((error as? SystemError)?.reason ?? "\(error)")")
    }
    buffer.reserveCapacity(Self.bufferSize)
  }

  /// Reads a file that another process has left, perhaps where nothing can be written.
  ///
  /// - Parameter size: what it must hold.
  /// - Throws: ``FormatError/missing(path:)``, ``FormatError/cutShort(path:expected:found:)``, and others.
  package init(reading path: String, size: Int) throws(FormatError) {
    folder = path
    do {
      descriptor = try POSIX.openForReading(path)
    } catch {
      throw FileSystem.readError(error, path)
    }
    self.size = size
    let status: POSIX.Status
    do {
      status = try POSIX.status(descriptor)
    } catch {
      throw .unreadable(path: path, reason: error.reason)
    }
    guard status.isFile else { throw .notAFile(path: path) }
    guard status.size >= size else { throw .cutShort(path: path, expected: size, found: status.size) }
    guard status.size == size else {
      throw .content(path: path, problem: "expected \(size) bytes, found \(status.size); copy or make the file again")
    }
  }

  /// Makes durable what was appended.
  package func synchronize() throws(FormatError) {
    try flush()
    do {
      try POSIX.sync(descriptor)
    } catch {
      throw .unwritable(path: folder, reason: error.reason)
    }
  }

  deinit { POSIX.closeQuietly(descriptor) }

  package func append(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    if buffer.count + bytes.count > Self.bufferSize { try flush() }
    if bytes.count >= Self.bufferSize {
      try write(bytes, at: size)
    } else {
      buffer.append(contentsOf: bytes)
    }
    size += bytes.count
  }

  /// Fills the buffer from `offset` on; all of it must have been appended.
  package func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(FormatError) {
    try flush()
    let count: Int
    do {
      count = try POSIX.readFully(descriptor, into: bytes, at: offset)
    } catch {
      throw .unreadable(path: folder, reason: error.reason)
    }
    guard count == bytes.count else { throw .cutShort(path: folder, expected: offset + bytes.count, found: size) }
  }

  private func flush() throws(FormatError) {
    guard !buffer.isEmpty else { return }
    let start = size - buffer.count
    try buffer.lendBytes { bytes throws(FormatError) in try write(bytes, at: start) }
    buffer.removeAll(keepingCapacity: true)
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FormatError) {
    do {
      try POSIX.writeFully(descriptor, bytes, at: offset)
    } catch {
      throw .unwritable(path: folder, reason: error.reason)
    }
  }
}
