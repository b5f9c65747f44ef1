import Formats
import TestSupport
import Testing

@Suite("A scratch file")
struct ScratchFileTests {
  private func read(_ file: ScratchFile, _ count: Int, at offset: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.lendMutableBytes { buffer throws(FormatError) in try file.read(into: buffer, at: offset) }
    return bytes
  }

  @Test("that is only read holds what was written, and stays as it is")
  func reading() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("a.bin")
    try folder.write("0123456789", to: "a.bin")
    let file = try ScratchFile(reading: path, size: 10)
    #expect(try read(file, 3, at: 4) == Array("456".utf8))
    let more: [UInt8] = [1]
    #expect(throws: FormatError.self) {
      try more.lendBytes { bytes throws(FormatError) in try file.append(bytes) }
      _ = try read(file, 1, at: 0)
    }
    #expect(try FileSystem.read(path) == Array("0123456789".utf8))
  }

  @Test("of another size than was written is an error")
  func sizes() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("a.bin")
    try folder.write("0123456789", to: "a.bin")
    let cutShort = FormatError.cutShort(path: path, expected: 11, found: 10)
    #expect(throws: cutShort) { try ScratchFile(reading: path, size: 11) }
    #expect(throws: FormatError.self) { try ScratchFile(reading: path, size: 9) }
    #expect(throws: FormatError.missing(path: folder.file("b"))) { try ScratchFile(reading: folder.file("b"), size: 0) }
    #expect(throws: FormatError.self) { try ScratchFile(reading: folder.path, size: 0) }
  }
}
