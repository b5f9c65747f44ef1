import Crypto

/// A SHA-256.
package struct ContentHash: Hashable, Sendable {
  /// The digest's bytes as four big-endian numbers.
  package let words: SIMD4<UInt64>

  package init(_ bytes: UnsafeRawBufferPointer) {
    var hasher = ContentHasher()
    hasher.update(bytes)
    self = hasher.finish()
  }

  package init(_ bytes: [UInt8]) {
    self = bytes.withUnsafeBytes { ContentHash($0) }
  }

  /// The hash of a whole file, read in blocks.
  package init(file path: String) throws(FormatError) {
    var hasher = ContentHasher()
    try InputFile(path: path).forEachBlock { block in hasher.update(block) }
    self = hasher.finish()
  }

  /// The hash of several files' hashes, in their order.
  package init(files paths: [String]) throws(FormatError) {
    var hashes: [ContentHash] = []
    for path in paths { hashes.append(try ContentHash(file: path)) }
    self.init(of: hashes)
  }

  /// The hash of several hashes, in their order.
  package init(of hashes: [ContentHash]) {
    self.init(Array(hashes.map { $0.hex + "\n" }.joined().utf8))
  }

  package init(words: SIMD4<UInt64>) { self.words = words }

  /// A number in [0, 1) that belongs to the content: what decides of a share of contents.
  package var fraction: Double { Double(words[0] >> 11) * 0x1p-53 }

  /// 64 lower-case hexadecimal digits.
  package var hex: String {
    var text = ""
    for index in 0..<4 {
      let digits = String(words[index], radix: 16)
      text += String(repeating: "0", count: 16 - digits.count) + digits
    }
    return text
  }
}

/// A SHA-256 of bytes that come in pieces.
package struct ContentHasher {
  private var state = SHA256()

  package init() {}

  package mutating func update(_ bytes: UnsafeRawBufferPointer) { state.update(bufferPointer: bytes) }

  package func finish() -> ContentHash {
    var words = SIMD4<UInt64>()
    for (index, byte) in state.finalize().enumerated() {
      words[index / 8] = words[index / 8] << 8 | UInt64(byte)
    }
    return ContentHash(words: words)
  }
}
