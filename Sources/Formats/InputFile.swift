/// A regular file, open for reading at any place.
///
/// Reading is by `pread`, never mapped: a file that is cut short while open is an error, not a signal. It keeps no
/// position, so that several threads may read one file.
package final class InputFile: Sendable {
  package let path: String
  /// Bytes, when it was opened.
  package let size: Int
  private let descriptor: Int32

  package init(path: String) throws(FormatError) {
    // To open a pipe would be to wait for who writes to it.
    if FileSystem.kind(of: path) == .other { throw .notAFile(path: path) }
    do {
      descriptor = try POSIX.openForReading(path)
    } catch {
      throw FileSystem.readError(error, path)
    }
    self.path = path
    do {
      let status = try POSIX.status(descriptor)
      size = status.size
      // Closed by deinit, which runs from here on also when this throws.
      guard status.isFile else { throw FormatError.notAFile(path: path) }
    } catch let error as FormatError {
      throw error
    } catch {
      throw .unreadable(path: path, reason: "\((error as? SystemError)?.reason ?? "\(error)")")
    }
  }

  deinit { POSIX.closeQuietly(descriptor) }

  /// Fills the buffer from `offset` on.
  ///
  /// - Throws: ``FormatError/cutShort(path:expected:found:)`` where the file ends before the buffer does.
  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FormatError) {
    let count = try readUpTo(into: buffer, at: offset)
    guard count == buffer.count else {
      throw .cutShort(path: path, expected: offset + buffer.count, found: offset + count)
    }
  }

  /// Fills the buffer as far as the file reaches, and says how far.
  package func readUpTo(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FormatError) -> Int {
    do {
      return try POSIX.readFully(descriptor, into: buffer, at: offset)
    } catch {
      throw .unreadable(path: path, reason: error.reason)
    }
  }

  package func read(count: Int, at offset: Int) throws(FormatError) -> [UInt8] {
    guard count <= size - offset else { throw .cutShort(path: path, expected: offset + count, found: size) }
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.lendMutableBytes { buffer throws(FormatError) in try read(into: buffer, at: offset) }
    return bytes
  }

  /// Lends the file block by block, from its start to its end.
  package func forEachBlock(
    bytes blockSize: Int = 1 << 20, _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) {
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockSize, alignment: 16)
    defer { block.deallocate() }
    var offset = 0
    while true {
      let count = try readUpTo(into: block, at: offset)
      if count == 0 { return }
      try body(UnsafeRawBufferPointer(rebasing: block[..<count]))
      offset += count
    }
  }
}
