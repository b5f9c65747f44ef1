import CCompression

/// The files of a .zip, by its central directory (PKWARE's APPNOTE 6.3: stored, deflated and zstd; zip64).
///
/// Compressed parts that lie over each other, as in zip bombs, are refused.
package struct ZipArchive {
  package struct Entry: Sendable {
    package let name: String
    /// Bytes when decompressed.
    package let size: Int
    fileprivate let method: Int
    fileprivate let compressedSize: Int
    fileprivate let offset: Int
    fileprivate let crc: UInt32
  }

  /// Regular files, in the order of the directory.
  package private(set) var entries: [Entry] = []
  private let file: InputFile

  package static let mostEntries = 10_000_000

  package init(_ file: InputFile) throws(FormatError) {
    self.file = file
    let directory = try findDirectory()
    try readDirectory(directory)
    try checkOverlaps()
  }

  /// The bytes of a file of the archive, checked at their end.
  package func open(_ entry: Entry) throws(FormatError) -> any ByteStream {
    let header = try read(30, at: entry.offset)
    guard header.number(at: 0, bytes: 4) == 0x0403_4b50 else {
      throw damaged("no file header where \(entry.name) should be")
    }
    let start = entry.offset + 30 + header.number(at: 26, bytes: 2) + header.number(at: 28, bytes: 2)
    guard start <= file.size, entry.compressedSize <= file.size - start else {
      throw damaged("\(entry.name) cut short")
    }
    let raw = FileStream(file, range: start..<start + entry.compressedSize)
    let path = file.path + "/" + entry.name
    try Compression.deflate.requireLibrary(for: path)
    let content: any ByteStream
    switch entry.method {
    case 0: content = raw
    case 8: content = try DecompressedStream(raw, .deflate)
    case 93: content = try DecompressedStream(raw, .zstd)
    case let method:
      throw .content(
        path: path, problem: "is compressed by method \(method) of .zip, which can't be read; pack it by deflate")
    }
    return CheckedStream(content, size: entry.size, crc: entry.crc, path: path)
  }

  // MARK: The directory

  private struct Directory {
    var count: Int
    var size: Int
    var offset: Int
  }

  private func findDirectory() throws(FormatError) -> Directory {
    // The end record has 22 bytes and a comment of at most 65,535; in zip64 a locator of 20 bytes stands before it.
    let tailSize = min(file.size, 22 + 65_535 + 20)
    let tail = try read(tailSize, at: file.size - tailSize)
    guard
      let end = stride(from: tail.count - 22, through: 0, by: -1).first(where: { place in
        tail.number(at: place, bytes: 4) == 0x0605_4b50
          && place + 22 + tail.number(at: place + 20, bytes: 2) <= tail.count
      })
    else { throw damaged("no central directory") }
    var directory = Directory(
      count: tail.number(at: end + 10, bytes: 2), size: tail.number(at: end + 12, bytes: 4),
      offset: tail.number(at: end + 16, bytes: 4))
    if end >= 20, tail.number(at: end - 20, bytes: 4) == 0x0706_4b50 {
      let place = tail.number(at: end - 12, bytes: 8)
      guard place >= 0, place <= file.size - 56 else { throw damaged("a zip64 record outside of the file") }
      let record = try read(56, at: place)
      guard record.number(at: 0, bytes: 4) == 0x0606_4b50 else { throw damaged("no zip64 record") }
      directory = Directory(
        count: record.number(at: 32, bytes: 8), size: record.number(at: 40, bytes: 8),
        offset: record.number(at: 48, bytes: 8))
    }
    guard directory.count >= 0, directory.size >= 0, directory.offset >= 0, directory.size <= file.size,
      directory.offset <= file.size - directory.size
    else { throw damaged("a central directory outside of the file") }
    guard directory.count <= Self.mostEntries else {
      throw .content(path: file.path, problem: "has \(directory.count) files; at most \(Self.mostEntries) are read")
    }
    return directory
  }

  private mutating func readDirectory(_ directory: Directory) throws(FormatError) {
    let bytes = try read(directory.size, at: directory.offset)
    var place = 0
    for _ in 0..<directory.count {
      guard place + 46 <= bytes.count, bytes.number(at: place, bytes: 4) == 0x0201_4b50 else {
        throw damaged("a central directory of fewer files than it promises")
      }
      let (nameSize, extraSize) = (bytes.number(at: place + 28, bytes: 2), bytes.number(at: place + 30, bytes: 2))
      let next = place + 46 + nameSize + extraSize + bytes.number(at: place + 32, bytes: 2)
      guard next <= bytes.count else { throw damaged("a name beyond the central directory") }
      let extra = bytes[(place + 46 + nameSize)..<(place + 46 + nameSize + extraSize)]
      try add(
        String(decoding: bytes[(place + 46)..<(place + 46 + nameSize)], as: UTF8.self),
        header: Array(bytes[place..<place + 46]), extra: Array(extra))
      place = next
    }
  }

  private mutating func add(_ name: String, header: [UInt8], extra: [UInt8]) throws(FormatError) {
    var wide = Self.zip64(extra)
    // What its four bytes are too small for stands in the extra field, in this order.
    func field(at place: Int) throws(FormatError) -> Int {
      let narrow = header.number(at: place, bytes: 4)
      guard narrow == 0xFFFF_FFFF, let value = wide.popLast() else { return narrow }
      guard value >= 0 else { throw damaged("\(name.prefix(80)) with a size out of range") }
      return value
    }
    let size = try field(at: 24)
    let compressedSize = try field(at: 20)
    let offset = try field(at: 42)
    guard !name.hasSuffix("/") else { return }
    try ArchiveName.check(name, of: file.path)
    guard header.number(at: 8, bytes: 2) & 1 == 0 else {
      throw .content(path: file.path, problem: "\(name.prefix(80)) is encrypted; unpack it yourself")
    }
    guard offset <= file.size - 30, compressedSize <= file.size else {
      throw damaged("\(name.prefix(80)) outside of the file")
    }
    entries.append(
      Entry(
        name: name, size: size, method: header.number(at: 10, bytes: 2), compressedSize: compressedSize, offset: offset,
        crc: UInt32(header.number(at: 16, bytes: 4))))
  }

  /// The numbers of eight bytes of the zip64 extra field, the first one last.
  private static func zip64(_ extra: [UInt8]) -> [Int] {
    var place = 0
    while place + 4 <= extra.count {
      let size = extra.number(at: place + 2, bytes: 2)
      if extra.number(at: place, bytes: 2) == 1, place + 4 + size <= extra.count {
        return (0..<size / 8).map { extra.number(at: place + 4 + 8 * $0, bytes: 8) }.reversed()
      }
      place += 4 + size
    }
    return []
  }

  private func checkOverlaps() throws(FormatError) {
    var end = 0
    for entry in entries.sorted(by: { $0.offset < $1.offset }) {
      guard entry.offset >= end else {
        throw .content(
          path: file.path,
          problem: "its files lie over each other, as in a zip bomb; unpack it yourself if you trust it")
      }
      end = entry.offset + 30 + entry.compressedSize
    }
  }

  private func read(_ count: Int, at offset: Int) throws(FormatError) -> [UInt8] {
    guard offset >= 0, count <= file.size - offset else { throw damaged("an end before its time") }
    return try file.read(count: count, at: offset)
  }

  private func damaged(_ what: String) -> FormatError {
    .content(path: file.path, problem: "isn't a whole .zip: found \(what); copy or make the file again")
  }
}

/// Hands bytes on and complains at the end when they are not those that were promised.
private final class CheckedStream: ByteStream {
  let path: String
  private let source: any ByteStream
  private let size: Int
  private let expected: UInt32
  private var count = 0
  private var crc: UInt32 = 0

  init(_ source: any ByteStream, size: Int, crc: UInt32, path: String) {
    self.source = source
    self.size = size
    self.path = path
    expected = crc
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    let read = try source.read(into: buffer)
    crc = mf_crc32(crc, buffer.bindMemory(to: UInt8.self).baseAddress, read)
    count += read
    if count > size || read == 0 && (count < size || crc != expected) {
      throw .content(
        path: path, problem: "isn't what the .zip promises (its size or checksum); copy or make the file again")
    }
    return read
  }
}

extension Array<UInt8> {
  /// A little-endian number at a place that is there; of eight bytes, negative beyond Int's range.
  fileprivate func number(at place: Int, bytes: Int) -> Int {
    var value: UInt64 = 0
    for index in 0..<bytes { value |= UInt64(self[place + index]) << UInt64(8 * index) }
    return Int(truncatingIfNeeded: value)
  }
}
