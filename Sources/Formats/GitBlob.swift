import Crypto

/// How git names the content of a file.
package enum GitBlob {
  /// 40 lower-case hexadecimal digits: the SHA-1 of "blob", the size, a NUL and the content.
  package static func hash(ofFile path: String) throws(FormatError) -> String {
    let file = try InputFile(path: path)
    var hasher = Insecure.SHA1()
    Array("blob \(file.size)\0".utf8).withUnsafeBytes { hasher.update(bufferPointer: $0) }
    try file.forEachBlock { block in hasher.update(bufferPointer: block) }
    return hasher.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
