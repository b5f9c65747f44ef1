/// Bytes that come one after the other and only once: a file's, a pipe's, or what a compressed file holds.
package protocol ByteStream: AnyObject {
  /// What errors call it.
  var path: String { get }

  /// Puts what comes next at the start of the buffer, and says how much that is: 0 only at the end.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int
}

extension ByteStream {
  /// Fills the whole buffer, or as much of it as there is left.
  package func readFully(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    var count = 0
    while count < buffer.count {
      let more = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
      if more == 0 { break }
      count += more
    }
    return count
  }

  /// Reads on without keeping anything.
  package func skip(_ count: Int) throws(FormatError) {
    var block = [UInt8](repeating: 0, count: min(count, 1 << 16))
    var left = count
    while left > 0 {
      let some = min(left, block.count)
      let more = try block.lendMutableBytes { buffer throws(FormatError) in
        try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<some]))
      }
      if more == 0 { throw .cutShort(path: path, expected: count, found: count - left) }
      left -= more
    }
  }
}

/// A part of a file.
package final class FileStream: ByteStream {
  package let path: String
  private let file: InputFile
  private var offset: Int
  /// Where the part ends; a file may have grown since it was opened.
  private let end: Int

  package init(_ file: InputFile, range: Range<Int>? = nil) {
    self.file = file
    path = file.path
    offset = range?.lowerBound ?? 0
    end = range?.upperBound ?? file.size
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    let wanted = min(buffer.count, end - offset)
    guard wanted > 0 else { return 0 }
    let count = try file.readUpTo(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]), at: offset)
    if count < wanted { throw .cutShort(path: path, expected: end, found: offset + count) }
    offset += count
    return count
  }
}

/// What is written to the standard input.
package final class StandardInput: ByteStream {
  package let path = "standard input"

  package init() {}

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    do {
      return try POSIX.readNext(POSIX.standardInput, into: buffer)
    } catch {
      throw .unreadable(path: path, reason: error.reason)
    }
  }
}

/// Bytes that are in memory already.
package final class BytesStream: ByteStream {
  package let path: String
  private var bytes: ArraySlice<UInt8>

  package init(_ bytes: [UInt8], path: String = "") {
    self.bytes = bytes[...]
    self.path = path
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    let some = bytes.prefix(buffer.count)
    buffer.copyBytes(from: some)
    bytes = bytes.dropFirst(some.count)
    return some.count
  }
}

/// A stream whose start has been looked at.
package final class PeekedStream: ByteStream {
  package let path: String
  /// The bytes at the start: as many as were asked for, or all where there are fewer.
  package private(set) var head: ArraySlice<UInt8>
  private let source: any ByteStream

  package init(_ source: any ByteStream, count: Int) throws(FormatError) {
    self.source = source
    path = source.path
    var bytes = [UInt8](repeating: 0, count: count)
    let found = try bytes.lendMutableBytes { buffer throws(FormatError) in try source.readFully(into: buffer) }
    head = bytes[..<found]
  }

  /// Leaves out what comes next of the head.
  package func drop(_ count: Int) { head = head.dropFirst(count) }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    if head.isEmpty { return try source.read(into: buffer) }
    let some = head.prefix(buffer.count)
    buffer.copyBytes(from: some)
    head = head.dropFirst(some.count)
    return some.count
  }
}
