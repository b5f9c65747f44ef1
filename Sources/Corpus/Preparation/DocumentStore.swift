import Formats

/// The documents that were kept, on disk, in the order they were read.
///
/// The corpus is gone through several times (to learn the tokenizer, then to encode), and cleaned only once.
final class DocumentStore {
  struct Document {
    let bytes: [UInt8]
    /// Where its hash puts it.
    let split: Split
    /// Where it starts, in a text of all documents.
    let start: Int
  }

  private let file: ScratchFile
  /// How many bytes of text there are.
  private(set) var byteCount = 0
  private(set) var count = 0

  /// Length and split, before the text.
  private static let headerSize = 9

  init(in folder: String) throws(CorpusError) {
    file = try withFiles(try ScratchFile(in: folder))
  }

  func append(_ bytes: [UInt8], split: Split) throws(CorpusError) {
    var header = withUnsafeBytes(of: UInt64(bytes.count)) { Array($0) }
    header.append(UInt8(Split.allCases.firstIndex(of: split) ?? 0))
    try header.lendBytes { bytes throws(CorpusError) in try withFiles(try file.append(bytes)) }
    try bytes.lendBytes { bytes throws(CorpusError) in try withFiles(try file.append(bytes)) }
    byteCount += bytes.count
    count += 1
  }

  func forEach(_ body: (Document) throws(CorpusError) -> Void) throws(CorpusError) {
    var offset = 0
    var start = 0
    while offset < file.size {
      let header = try read(Self.headerSize, at: offset)
      let length = Int(header.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
      let bytes = try read(length, at: offset + Self.headerSize)
      try body(Document(bytes: bytes, split: Split.allCases[Int(header[8])], start: start))
      offset += Self.headerSize + length
      start += length
    }
  }

  private func read(_ count: Int, at offset: Int) throws(CorpusError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.lendMutableBytes { buffer throws(CorpusError) in
      try withFiles(try file.read(into: buffer, at: offset))
    }
    return bytes
  }
}
