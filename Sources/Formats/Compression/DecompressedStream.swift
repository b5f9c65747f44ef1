import CCompression

/// What a compressed stream holds, decompressed on the way.
///
/// A few kilobytes can stand for terabytes. Text shrinks to a tenth or, where it repeats itself, to a hundredth: what grows
/// beyond ``mostExpansion`` times its size, after ``freeBytes`` of it, is refused.
package final class DecompressedStream: ByteStream {
  package let path: String
  private let source: any ByteStream
  private let compression: Compression
  private let stream: OpaquePointer
  private var input: [UInt8]
  /// What of `input` is still to be decompressed.
  private var pending = 0..<0
  private var isOver = false
  private var mayEnd = false
  private var (read, written) = (0, 0)

  package static let mostExpansion = 250
  package static let freeBytes = 256 << 20

  package init(_ source: any ByteStream, _ compression: Compression) throws(FormatError) {
    self.source = source
    self.compression = compression
    path = source.path
    try compression.requireLibrary(for: path)
    guard let stream = mf_stream_open(compression.codec) else {
      throw .content(path: path, problem: "there is no memory to decompress it")
    }
    self.stream = stream
    input = Array(repeating: 0, count: 1 << 17)
  }

  deinit { mf_stream_close(stream) }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    guard !buffer.isEmpty else { return 0 }
    let output = buffer.bindMemory(to: UInt8.self)
    while true {
      // Others may be followed by another stream of their kind.
      if mayEnd, compression == .deflate { return 0 }
      if pending.isEmpty, !isOver { try refill() }
      // xz must be asked once more to tell whether it is complete, the others have said so.
      if isOver, pending.isEmpty, mayEnd { return 0 }
      var (consumed, produced) = (0, 0)
      let outcome = input.withUnsafeBufferPointer { input in
        mf_stream_step(
          stream, input.baseAddress.map { $0 + pending.lowerBound }, pending.count, output.baseAddress, output.count,
          &consumed, &produced)
      }
      pending = pending.lowerBound + consumed..<pending.upperBound
      written += produced
      switch outcome {
      case MF_END: mayEnd = true
      case MF_MORE: mayEnd = false
      case MF_TOO_LARGE:
        throw .content(
          path: path,
          problem: "decompressing it needs more than \(MF_STREAM_MEMORY >> 20) MiB of memory; compress it at a "
            + "usual level")
      case MF_OUT_OF_MEMORY: throw .content(path: path, problem: "there is no memory to decompress it")
      default: throw compression.damaged(path)
      }
      if written > Self.freeBytes, written / Self.mostExpansion > read {
        throw .content(
          path: path,
          problem: "it grows to more than \(Self.mostExpansion) times its size (\(written >> 20) MiB from "
            + "\(read) bytes), which no text does; decompress it yourself if it is one")
      }
      if produced > 0 { return produced }
      if isOver, pending.isEmpty, !mayEnd, consumed == 0 {
        throw .content(path: path, problem: "it ends in the middle of its compressed data; copy or make the file again")
      }
    }
  }

  private func refill() throws(FormatError) {
    let source = source
    let count = try input.lendMutableBytes { buffer throws(FormatError) in try source.read(into: buffer) }
    pending = 0..<count
    isOver = count == 0
    read += count
  }
}
