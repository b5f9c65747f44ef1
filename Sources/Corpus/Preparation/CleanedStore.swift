import Formats

/// The cleaned documents of a corpus, or of one part of it, on disk, in the order in which they were read.
///
/// Three files side by side: the texts, one behind the other; a record of fixed size for each document; its signature, where
/// near duplicates are looked for.
final class CleanedStore {
  struct Record {
    var length: Int
    var hash: ContentHash
    /// The number of the file that it comes from.
    var unit: Int
  }

  /// How far the files reach: what a process that goes on must know.
  struct Size: Equatable {
    var documents = 0
    var bytes = 0
  }

  let hasSignatures: Bool
  /// Whether another process has left it, perhaps on another machine.
  let isForeign: Bool
  private(set) var size: Size
  private let folder: String
  private let texts: ScratchFile
  private let records: ScratchFile
  private let signatures: ScratchFile?

  static let (textsName, recordsName, signaturesName) = ("texts.bin", "documents.bin", "signatures.bin")
  private static let recordSize = 48
  private static let signatureSize = MinHashSignature.hashes + 8 * MinHashSignature.bands
  /// Of one store: sizes that are read from files are added up and multiplied.
  static let (mostDocuments, mostBytes) = (1 << 40, 1 << 48)

  /// - Parameter size: what is kept of a store that is there already.
  convenience init(in folder: String, signatures: Bool, keeping size: Size = Size()) throws(CorpusError) {
    try self.init(folder, signatures, size, isForeign: false) { path, bytes throws(FormatError) in
      try ScratchFile(path: path, keeping: bytes)
    }
  }

  /// Reads a store that is complete; nothing in its folder is changed.
  convenience init(reading folder: String, signatures: Bool, size: Size) throws(CorpusError) {
    try self.init(folder, signatures, size, isForeign: true) { path, bytes throws(FormatError) in
      try ScratchFile(reading: path, size: bytes)
    }
  }

  private init(
    _ folder: String, _ hasSignatures: Bool, _ size: Size, isForeign: Bool,
    open: (_ path: String, _ bytes: Int) throws(FormatError) -> ScratchFile
  ) throws(CorpusError) {
    self.hasSignatures = hasSignatures
    self.size = size
    self.folder = folder
    self.isForeign = isForeign
    func file(_ name: String, _ bytes: Int) throws(CorpusError) -> ScratchFile {
      try withFiles(try open(Path.join(folder, name), bytes))
    }
    texts = try file(Self.textsName, size.bytes)
    records = try file(Self.recordsName, size.documents * Self.recordSize)
    signatures = hasSignatures ? try file(Self.signaturesName, size.documents * Self.signatureSize) : nil
  }

  /// What is thrown where a document, or its text, can't be what was written.
  func damaged(_ document: Int, file: String) -> CorpusError {
    .file(
      .content(
        path: Path.join(folder, file),
        problem: "document \(document) isn't what was written there; copy the files, or clean the text, again"))
  }

  // MARK: Writing

  /// Documents that were cleaned together.
  struct Batch: Sendable {
    var texts: [UInt8] = []
    /// Records and signatures as they stand in their files.
    fileprivate(set) var records: [UInt8] = []
    fileprivate(set) var signatures: [UInt8] = []

    var documents: Int { records.count / CleanedStore.recordSize }

    /// Adds a document.
    ///
    /// - Parameter hash: what it is known by; nil: the hash of its text.
    mutating func append(
      _ text: [UInt8], signature: MinHashSignature?, hasSignatures: Bool, unit: Int, hash: ContentHash? = nil
    ) {
      let hash = hash ?? ContentHash(text)
      texts.append(contentsOf: text)
      withUnsafeBytes(of: UInt64(text.count).littleEndian) { records.append(contentsOf: $0) }
      for index in 0..<4 { withUnsafeBytes(of: hash.words[index].littleEndian) { records.append(contentsOf: $0) } }
      withUnsafeBytes(of: UInt64(unit).littleEndian) { records.append(contentsOf: $0) }
      guard hasSignatures else { return }
      if let signature {
        signatures.append(contentsOf: signature.bytes)
        for key in signature.keys { withUnsafeBytes(of: key.littleEndian) { signatures.append(contentsOf: $0) } }
      } else {
        signatures.append(contentsOf: repeatElement(0, count: CleanedStore.signatureSize))
      }
    }
  }

  func append(_ batch: Batch) throws(CorpusError) {
    try Self.append(batch.texts, to: texts)
    try Self.append(batch.records, to: records)
    if let signatures { try Self.append(batch.signatures, to: signatures) }
    size.documents += batch.documents
    size.bytes += batch.texts.count
  }

  func synchronize() throws(CorpusError) {
    try withFiles(try texts.synchronize())
    try withFiles(try records.synchronize())
    try withFiles(try signatures?.synchronize())
  }

  private static func append(_ bytes: [UInt8], to file: ScratchFile) throws(CorpusError) {
    try bytes.lendBytes { bytes throws(CorpusError) in try withFiles(try file.append(bytes)) }
  }

  // MARK: Reading

  /// The records of documents, in order.
  func records(_ range: Range<Int>) throws(CorpusError) -> [Record] {
    let bytes = try Self.read(range.count * Self.recordSize, from: records, at: range.lowerBound * Self.recordSize)
    return bytes.withUnsafeBytes { bytes in
      (0..<range.count).map { index in
        func word(_ place: Int) -> UInt64 {
          UInt64(
            littleEndian: bytes.loadUnaligned(fromByteOffset: index * Self.recordSize + 8 * place, as: UInt64.self))
        }
        return Record(
          length: Int(truncatingIfNeeded: word(0)), hash: ContentHash(words: SIMD4(word(1), word(2), word(3), word(4))),
          unit: Int(truncatingIfNeeded: word(5)))
      }
    }
  }

  /// Bytes of the texts, all documents taken as one.
  func text(_ range: Range<Int>) throws(CorpusError) -> [UInt8] {
    try Self.read(range.count, from: texts, at: range.lowerBound)
  }

  /// What documents are compared by.
  func signatureBytes(_ document: Int) throws(CorpusError) -> [UInt8] {
    guard let signatures else { return [] }
    return try Self.read(MinHashSignature.hashes, from: signatures, at: document * Self.signatureSize)
  }

  /// The keys of documents, ``MinHashSignature/bands`` of each.
  func signatureKeys(_ range: Range<Int>) throws(CorpusError) -> [UInt64] {
    guard let signatures else { return [] }
    let bytes = try Self.read(
      range.count * Self.signatureSize, from: signatures, at: range.lowerBound * Self.signatureSize)
    return bytes.withUnsafeBytes { bytes in
      range.indices.flatMap { document in
        (0..<MinHashSignature.bands).map { band in
          let place = (document - range.lowerBound) * Self.signatureSize + MinHashSignature.hashes + 8 * band
          return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
        }
      }
    }
  }

  private static func read(_ count: Int, from file: ScratchFile, at offset: Int) throws(CorpusError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.lendMutableBytes { buffer throws(CorpusError) in try withFiles(try file.read(into: buffer, at: offset)) }
    return bytes
  }
}
