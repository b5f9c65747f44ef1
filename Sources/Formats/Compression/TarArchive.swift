/// The files of a .tar, one after the other, as they stand in it.
///
/// POSIX.1-1988 ustar, its pax extensions (path and size) and GNU's long names. Nothing is ever written to a disk, so that
/// no name can lead out of a folder; one that tries to is refused all the same.
package final class TarArchive {
  private let source: any ByteStream
  /// What is left of the entry that was handed out last, and the zeros that fill its block.
  private var (left, padding) = (0, 0)

  private static let blockSize = 512
  /// A larger number is damage; no disk holds so much.
  private static let largestFile = 1 << 60
  /// A name longer than this is no name.
  private static let longestExtension = 1 << 20

  package init(_ source: any ByteStream) { self.source = source }

  /// The next regular file; nil at the end. The entry before can't be read any more.
  package func next() throws(FormatError) -> Entry? {
    var (longName, longSize): (String?, Int?) = (nil, nil)
    while true {
      try source.skip(left + padding)
      (left, padding) = (0, 0)
      guard let header = try readHeader() else { return nil }
      var size = try number(header[124..<136])
      switch header[156] {
      case UInt8(ascii: "x"):
        let records = try paxRecords(try content(size))
        longName = records["path"] ?? longName
        longSize =
          try records["size"].map { (text) throws(FormatError) in
            guard let size = Int(text), size >= 0 else { throw damaged("a size of \"\(text.prefix(40))\"") }
            return size
          } ?? longSize
      case UInt8(ascii: "L"):
        longName = String(decoding: try content(size).prefix { $0 != 0 }, as: UTF8.self)
      case 0, UInt8(ascii: "0"), UInt8(ascii: "7"):
        size = longSize ?? size
        try begin(size)
        let name = longName ?? Self.name(of: header)
        try ArchiveName.check(name, of: source.path)
        return Entry(name: name, size: size, archive: self)
      default:
        // A folder, a link, a device: nothing to read.
        try begin(longSize ?? size)
        (longName, longSize) = (nil, nil)
      }
    }
  }

  package final class Entry: ByteStream {
    package let name: String
    package let size: Int
    package let path: String
    private let archive: TarArchive

    fileprivate init(name: String, size: Int, archive: TarArchive) {
      self.name = name
      self.size = size
      self.archive = archive
      path = archive.source.path + "/" + name
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
      try archive.readEntry(into: buffer)
    }
  }

  // MARK: Blocks

  private func begin(_ size: Int) throws(FormatError) {
    guard size <= Self.largestFile else { throw damaged("a file of \(size) bytes") }
    left = size
    padding = (Self.blockSize - size % Self.blockSize) % Self.blockSize
  }

  private func readEntry(into buffer: UnsafeMutableRawBufferPointer) throws(FormatError) -> Int {
    let wanted = min(left, buffer.count)
    guard wanted > 0 else { return 0 }
    let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
    if count == 0 { throw .content(path: source.path, problem: "it ends within a file of the archive; copy it again") }
    left -= count
    return count
  }

  /// The next header; nil where the archive ends, by two blocks of zeros or without them.
  private func readHeader() throws(FormatError) -> [UInt8]? {
    var header = [UInt8](repeating: 0, count: Self.blockSize)
    let source = source
    let count = try header.lendMutableBytes { buffer throws(FormatError) in try source.readFully(into: buffer) }
    if count == 0 || count == Self.blockSize && header.allSatisfy({ $0 == 0 }) { return nil }
    guard count == Self.blockSize else { throw damaged("a header of \(count) bytes") }
    // The sum of all bytes, with spaces where it stands itself.
    let sum = header.enumerated().reduce(0) { $0 + Int((148..<156).contains($1.offset) ? 0x20 : $1.element) }
    guard try number(header[148..<156]) == sum else { throw damaged("a header with a wrong checksum") }
    return header
  }

  private func content(_ size: Int) throws(FormatError) -> [UInt8] {
    guard size <= Self.longestExtension else { throw damaged("a name of \(size) bytes") }
    try begin(size)
    var bytes = [UInt8](repeating: 0, count: size)
    let count = try bytes.lendMutableBytes { buffer throws(FormatError) in
      var count = 0
      while count < buffer.count {
        count += try self.readEntry(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
      }
      return count
    }
    return Array(bytes[..<count])
  }

  // MARK: Fields

  /// Octal digits, or GNU's binary number where they don't suffice.
  private func number(_ field: ArraySlice<UInt8>) throws(FormatError) -> Int {
    if let first = field.first, first & 0x80 != 0 {
      let bytes = field.dropFirst(field.count - 8)
      let value = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard first == 0x80, field.dropFirst().dropLast(8).allSatisfy({ $0 == 0 }), let size = Int(exactly: value) else {
        throw damaged("a number out of range")
      }
      return size
    }
    let digits = field.drop { $0 == 0x20 }.prefix { $0 != 0 && $0 != 0x20 }
    guard digits.count <= 20 else { throw damaged("a number out of range") }
    guard let value = Int("0" + String(decoding: digits, as: UTF8.self), radix: 8) else {
      throw damaged("a number of other than octal digits")
    }
    return value
  }

  /// Lines of "LENGTH KEY=VALUE".
  private func paxRecords(_ bytes: [UInt8]) throws(FormatError) -> [String: String] {
    var records: [String: String] = [:]
    var rest = bytes[...]
    while !rest.isEmpty {
      let digits = rest.prefix { $0 != 0x20 }
      guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 1, length <= rest.count
      else {
        throw damaged("an extended header that isn't of lines with lengths")
      }
      let record = rest.prefix(length).dropFirst(digits.count + 1).dropLast()
      guard let equals = record.firstIndex(of: UInt8(ascii: "=")) else {
        throw damaged("an extended header without a value")
      }
      records[String(decoding: record[..<equals], as: UTF8.self)] = String(
        decoding: record[(equals + 1)...], as: UTF8.self)
      rest = rest.dropFirst(length)
    }
    return records
  }

  private static func name(of header: [UInt8]) -> String {
    func text(_ range: Range<Int>) -> String { String(decoding: header[range].prefix { $0 != 0 }, as: UTF8.self) }
    let isUstar = header[257..<262].elementsEqual("ustar".utf8)
    // GNU's own format keeps times where POSIX has a prefix.
    let isPOSIX = isUstar && header[262] == 0
    let prefix = isPOSIX ? text(345..<500) : ""
    return prefix.isEmpty ? text(0..<100) : prefix + "/" + text(0..<100)
  }

  private func damaged(_ what: String) -> FormatError {
    .content(path: source.path, problem: "isn't a whole .tar: found \(what); copy or make the file again")
  }
}

/// Names of files in archives.
enum ArchiveName {
  /// Refuses a name that leads out of the folder in which an archive would be unpacked.
  static func check(_ name: String, of path: String) throws(FormatError) {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard !name.hasPrefix("/"), !name.hasPrefix("\\"), !parts.contains(".."), !name.contains("..\\"),
      !name.utf8.contains(0)
    else {
      throw .content(
        path: path,
        problem: "has a file named \"\(name.prefix(80))\", which leads out of the archive; unpack it yourself if "
          + "you trust it")
    }
  }
}
