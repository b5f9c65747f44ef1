import Formats
import TestSupport
import Testing

@Suite("Events for TensorBoard")
struct TensorBoardFileTests {
  @Test("have the checksum that RFC 3720 gives for its examples")
  func checksum() {
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum(UInt8(0)..<32) == 0x46DD_794E)
  }

  @Test("begin with a version, in files that readers take in the order of their making")
  func files() throws {
    let folder = try TemporaryFolder()
    for _ in 0..<2 {
      let file = try TensorBoardFile(folder: folder.path, firstStep: 0, time: 1)
      try file.append([("a", .scalar(1)), ("b", .text("c"))], step: 1, time: 2)
      try file.flush()
    }
    let names = ["events.out.tfevents.000001.mayfly", "events.out.tfevents.000002.mayfly"]
    #expect(try FileSystem.names(in: folder.path) == names)
    let bytes = try FileSystem.read(folder.file(names[1]))
    // The length, its checksum, then an event: time 1.0 in field 1, the version in field 3.
    #expect(bytes[0..<8].elementsEqual([24, 0, 0, 0, 0, 0, 0, 0]))
    #expect(bytes[12..<21].elementsEqual([0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F]))
    #expect(String(decoding: bytes[23..<36], as: UTF8.self) == "brain.Event:2")
  }

  @Test("that can't be written are an error that names the file")
  func unwritable() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: FormatError.self) {
      try TensorBoardFile(folder: folder.file("none"), firstStep: 0, time: 0)
    }
    #expect(error?.description.contains("none") == true)
  }
}
