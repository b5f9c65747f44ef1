#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A text in another encoding as UTF-8, converted on the way by the C library.
///
/// What is no character in the encoding becomes U+FFFD, one for each byte.
package final class ConvertedStream: ByteStream {
  package let path: String
  /// Bytes that were no characters.
  package private(set) var invalidSequences = 0
  private let source: any ByteStream
  private let converter: iconv_t
  private var input: [UInt8]
  private var pending = 0..<0
  private var isOver = false

  private static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

  /// - Parameter encoding: as iconv names it, such as GB18030.
  /// - Throws: ``FormatError/content(path:problem:)`` where it isn't known.
  package init(_ source: any ByteStream, from encoding: String) throws(FormatError) {
    self.source = source
    path = source.path
    // -1 is a failure, which C writes as a pointer.
    guard let converter = iconv_open("UTF-8", encoding), converter != iconv_t(bitPattern: -1) else {
      throw .content(path: source.path, problem: "the encoding \(encoding) is not known to this system")
    }
    self.converter = converter
    input = Array(repeating: 0, count: 1 << 16)
  }

  deinit { iconv_close(converter) }

  /// - Parameter buffer: of at least eight bytes.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    precondition(buffer.count >= 8)
    while true {
      if pending.count < 8, !isOver { try refill() }
      if pending.isEmpty { return 0 }
      let (produced, problem) = step(buffer)
      // EINVAL: a character that is cut short, by the end of the block or of the text.
      if problem == EILSEQ || problem == EINVAL && isOver {
        guard buffer.count - produced >= Self.replacement.count else { return produced }
        UnsafeMutableRawBufferPointer(rebasing: buffer[produced...]).copyBytes(from: Self.replacement)
        pending = pending.lowerBound + 1..<pending.upperBound
        invalidSequences += 1
        return produced + Self.replacement.count
      }
      if produced > 0 { return produced }
    }
  }

  /// Converts as far as it goes.
  private func step(_ buffer: UnsafeMutableRawBufferPointer) -> (produced: Int, problem: Int32) {
    var output = buffer.bindMemory(to: CChar.self).baseAddress
    var room = buffer.count
    var left = pending.count
    let result = input.withUnsafeMutableBytes { input in
      var from = input.bindMemory(to: CChar.self).baseAddress.map { $0 + pending.lowerBound }
      return iconv(converter, &from, &left, &output, &room)
    }
    let problem = result == -1 ? errno : 0
    pending = pending.upperBound - left..<pending.upperBound
    return (buffer.count - room, problem)
  }

  private func refill() throws(FormatError) {
    input.replaceSubrange(0..<pending.count, with: Array(input[pending]))
    let kept = pending.count
    let source = source
    let count = try input.lendMutableBytes { buffer throws(FormatError) in
      try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[kept...]))
    }
    pending = 0..<kept + count
    isOver = count == 0
  }
}
