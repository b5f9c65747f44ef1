/// A file that is whole or not there: written under a hidden name beside its place, synced, then renamed.
///
/// One that is dropped before ``commit()`` leaves nothing behind.
package final class OutputFile {
  package let path: String
  private let temporaryPath: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  /// Bytes appended so far, those still in the buffer included.
  package private(set) var size = 0
  private var isOpen = true

  private static let bufferSize = 1 << 18

  package init(path: String) throws(FormatError) {
    if FileSystem.isFolder(path) { throw .unwritable(path: path, reason: "it is a folder; expected a file or nothing") }
    self.path = path
    temporaryPath = FileSystem.temporaryName(for: path)
    do {
      descriptor = try POSIX.create(temporaryPath)
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
    buffer.reserveCapacity(Self.bufferSize)
  }

  deinit {
    guard isOpen else { return }
    POSIX.closeQuietly(descriptor)
    try? POSIX.removeFile(temporaryPath)
  }

  /// Appends bytes.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    if buffer.count + bytes.count > Self.bufferSize { try flush() }
    if bytes.count >= Self.bufferSize {
      try write(bytes, at: size)
    } else {
      buffer.append(contentsOf: bytes)
      size += bytes.count
    }
  }

  package func write(_ bytes: some Collection<UInt8>) throws(FormatError) {
    // The closure's rethrows would lose the error's type: hence a Result.
    let result = bytes.withContiguousStorageIfAvailable { buffer in
      Result { () throws(FormatError) in try write(UnsafeRawBufferPointer(buffer)) }
    }
    if let result { return try result.get() }
    try Array(bytes).lendBytes { buffer throws(FormatError) in try write(buffer) }
  }

  /// Writes bytes at a place of their own; the file grows to hold them.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FormatError) {
    try flush()
    do {
      try POSIX.writeFully(descriptor, bytes, at: offset)
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
    size = max(size, offset + bytes.count)
  }

  private func flush() throws(FormatError) {
    guard !buffer.isEmpty else { return }
    let offset = size - buffer.count
    do {
      try buffer.lendBytes { bytes throws(SystemError) in try POSIX.writeFully(descriptor, bytes, at: offset) }
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Makes the file durable and gives it its name, in place of a file of that name.
  package func commit() throws(FormatError) {
    precondition(isOpen, "committed twice")
    try flush()
    do {
      try POSIX.sync(descriptor)
      try POSIX.move(temporaryPath, to: path)
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
    isOpen = false
    POSIX.closeQuietly(descriptor)
    POSIX.syncFolder(Path.parent(path))
  }
}
