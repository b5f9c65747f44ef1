import Formats
import Foundation
import TestSupport
import Testing

@Suite("Token shard")
struct TokenShardTests {
  private func write(_ ids: [Int32], vocabularySize: Int, to path: String) throws {
    let writer = try TokenShardWriter(path: path, vocabularySize: vocabularySize)
    try writer.append(Array(ids[..<(ids.count / 2)]))
    try writer.append(Array(ids[(ids.count / 2)...]))
    try writer.commit()
  }

  @Test("ids are read again, from any place, at both widths", arguments: [65_536, 65_537])
  func roundTrip(vocabularySize: Int) throws {
    let folder = try TemporaryFolder()
    for count in [0, 1, 2, 3, 1000, 300_001] {
      let ids = (0..<count).map { Int32($0 &* 7919 % vocabularySize) }
      try write(ids, vocabularySize: vocabularySize, to: folder.file("f"))
      let shard = try TokenShard(path: folder.file("f"))
      #expect(shard.count == count)
      #expect(shard.width == (vocabularySize > 65_536 ? 4 : 2))
      #expect(try shard.read(0..<count) == ids)
      #expect(try shard.read(count / 3..<count) == Array(ids[(count / 3)...]))
    }
  }

  @Test("the file is as llm.c writes it")
  func layout() throws {
    let folder = try TemporaryFolder()
    try write([1, 258, 65_535], vocabularySize: 65_536, to: folder.file("f"))
    let narrow = try folder.bytes(of: "f")
    #expect(narrow.count == 1024 + 6)
    #expect(Array(narrow[..<12]) == littleEndian(Int32(20_240_520)) + littleEndian(Int32(1)) + littleEndian(Int32(3)))
    #expect(narrow[12..<1024].allSatisfy { $0 == 0 })
    #expect(Array(narrow[1024...]) == [1, 0, 2, 1, 255, 255])
    try write([1, 70_000], vocabularySize: 70_001, to: folder.file("f"))
    let wide = try folder.bytes(of: "f")
    #expect(Array(wide[..<12]) == littleEndian(Int32(20_240_801)) + littleEndian(Int32(7)) + littleEndian(Int32(2)))
    #expect(Array(wide[1024...]) == littleEndian(Int32(1)) + littleEndian(Int32(70_000)))
  }

  @Test("an id beyond the vocabulary is found, with its place")
  func vocabulary() throws {
    let folder = try TemporaryFolder()
    var ids = [Int32](repeating: 5, count: 600_000)
    ids[500_000] = 300
    try write(ids, vocabularySize: 301, to: folder.file("f"))
    let shard = try TokenShard(path: folder.file("f"))
    #expect(try shard.firstInvalid(vocabularySize: 301) == nil)
    let found = try shard.firstInvalid(vocabularySize: 300)
    #expect(found?.position == 500_000)
    #expect(found?.id == 300)
    // Ids of 2³¹ and more are no valid Int32, but found all the same.
    let header = littleEndian(Int32(20_240_801)) + littleEndian(Int32(7)) + littleEndian(Int32(1))
    try folder.write(header + [UInt8](repeating: 0, count: 1012) + littleEndian(UInt32.max), to: "wide")
    let wide = try TokenShard(path: folder.file("wide")).firstInvalid(vocabularySize: .max)
    #expect(wide?.id == Int(UInt32.max))
  }

  @Test("a headerless .bin is named as nanoGPT's, with what to do")
  func headerless() throws {
    let folder = try TemporaryFolder()
    for count in [1, 100, 5000] {
      let path = try folder.write((0..<count).flatMap { littleEndian(UInt16($0 % 50_257)) }, to: "train.bin")
      #expect(throws: FormatError.shard(path: path, .notAShard(size: 2 * count))) { try TokenShard(path: path) }
      let text = FormatError.shard(path: path, .notAShard(size: 2 * count)).description
      #expect(text.contains("nanoGPT") && text.contains("\(count) uint16 ids") && text.contains("mayfly prepare"))
    }
    let odd = try folder.write([1, 2, 3], to: "odd.bin")
    let text = "\(thrownError { _ = try TokenShard(path: odd) }.map { "\($0)" } ?? "")"
    #expect(text.contains("isn't a token shard") && !text.contains("nanoGPT"))
  }

  @Test("a wrong version, a wrong count and a cut header are errors")
  func badHeaders() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("f")
    func shard(_ words: [Int32], tokens: Int) throws {
      let header = words.flatMap { littleEndian($0) }
      let zeros = [UInt8](repeating: 0, count: 1024 - header.count + 2 * tokens)
      try folder.write(header + zeros, to: "f")
    }
    try shard([20_240_520, 2, 5], tokens: 5)
    #expect(throws: FormatError.shard(path: path, .version(expected: 1, found: 2))) { try TokenShard(path: path) }
    try shard([20_240_801, 1, 5], tokens: 10)
    #expect(throws: FormatError.shard(path: path, .version(expected: 7, found: 1))) { try TokenShard(path: path) }
    try shard([20_240_520, 1, 6], tokens: 5)
    #expect(throws: FormatError.shard(path: path, .size(tokens: 6, expected: 1036, found: 1034))) {
      try TokenShard(path: path)
    }
    try shard([20_240_520, 1, 4], tokens: 5)
    #expect(throws: FormatError.shard(path: path, .size(tokens: 4, expected: 1032, found: 1034))) {
      try TokenShard(path: path)
    }
    try shard([20_240_520, 1, -1], tokens: 5)
    #expect(throws: FormatError.shard(path: path, .negativeCount(-1))) { try TokenShard(path: path) }
    try folder.write(littleEndian(Int32(20_240_520)), to: "f")
    #expect(throws: FormatError.cutShort(path: path, expected: 1024, found: 4)) { try TokenShard(path: path) }
    try folder.write("", to: "f")
    #expect(throws: FormatError.shard(path: path, .notAShard(size: 0))) { try TokenShard(path: path) }
  }

  @Test("a shard that is cut while it is open is an error, not a signal")
  func cutWhileOpen() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("f")
    try write([Int32](repeating: 1, count: 1000), vocabularySize: 2, to: path)
    let shard = try TokenShard(path: path)
    try truncate(path, to: 1500)
    #expect(try shard.read(0..<100).count == 100)
    #expect(throws: FormatError.cutShort(path: path, expected: 3024, found: 1500)) { try shard.read(0..<1000) }
  }
}

func truncate(_ path: String, to size: UInt64) throws {
  let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
  try handle.truncate(atOffset: size)
  try handle.close()
}
