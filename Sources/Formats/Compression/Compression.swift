import CCompression

/// How bytes may be compressed, each by its own library, which is opened when it is first needed.
package enum Compression: CaseIterable, Sendable {
  case gzip, deflate, zstd, xz, snappy, lz4, brotli

  /// Of whole files, by the ending of their names.
  package init?(fileExtension: String) {
    switch fileExtension {
    case "gz", "tgz": self = .gzip
    case "zst", "zstd": self = .zstd
    case "xz", "txz": self = .xz
    default: return nil
    }
  }

  /// Of a block that is compressed as a whole.
  ///
  /// - Parameter size: of what comes out.
  /// - Throws: ``FormatError/content(path:problem:)`` where the bytes are damaged or the library isn't there.
  package func decode(_ block: UnsafeRawBufferPointer, size: Int, path: String) throws(FormatError) -> [UInt8] {
    try requireLibrary(for: path)
    var output = [UInt8](repeating: 0, count: size)
    let input = block.bindMemory(to: UInt8.self)
    let outcome = output.withUnsafeMutableBufferPointer { output in
      mf_block_decode(codec, input.baseAddress, input.count, output.baseAddress, output.count)
    }
    switch outcome {
    case MF_END: return output
    case MF_OUT_OF_MEMORY: throw .content(path: path, problem: "there is no memory to decompress \(size) bytes")
    default: throw damaged(path)
    }
  }

  /// Whether the library is there.
  package var isThere: Bool { mf_codec_opens(codec) != 0 }

  func requireLibrary(for path: String) throws(FormatError) {
    guard !isThere else { return }
    let (library, package) = (String(cString: mf_codec_library(codec)), String(cString: mf_codec_package(codec)))
    throw .content(
      path: path, problem: "\(name) needs \(library), which isn't here; install it (Debian: apt-get install \(package))"
    )
  }

  func damaged(_ path: String) -> FormatError {
    .content(path: path, problem: "its \(name) data is damaged; copy or make the file again")
  }

  var codec: mf_codec {
    switch self {
    case .gzip: MF_CODEC_GZIP
    case .deflate: MF_CODEC_DEFLATE
    case .zstd: MF_CODEC_ZSTD
    case .xz: MF_CODEC_XZ
    case .snappy: MF_CODEC_SNAPPY
    case .lz4: MF_CODEC_LZ4
    case .brotli: MF_CODEC_BROTLI
    }
  }

  private var name: String {
    switch self {
    case .gzip: "gzip"
    case .deflate: "deflate"
    case .zstd: "zstd"
    case .xz: "xz"
    case .snappy: "Snappy"
    case .lz4: "LZ4"
    case .brotli: "Brotli"
    }
  }
}
