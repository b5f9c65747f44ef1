import Formats
import TestSupport
import Testing

@Suite("Safetensors")
struct SafetensorsTests {
  /// A file of a header and so many bytes of data.
  private func file(_ header: String, dataBytes: Int, in folder: TemporaryFolder) throws -> String {
    try folder.write(littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + data(dataBytes), to: "f")
  }

  private func data(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }

  @Test("what is written is read again, whole and by rows, in every float type")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    let values: [Float] = [0, -0.0, 1, -2.5, 65_504, 0x1p-24, 3.14159, 1e-3, 100, -7, 0.5, 0.25]
    let writer = try SafetensorsWriter(
      path: folder.file("f"),
      tensors: [
        .init("half", .float16, [3, 4]), .init("single", .float32, [3, 4]), .init("brain", .bfloat16, [12]),
        .init("double", .float64, [12, 1]), .init("scalar", .float32, []), .init("empty", .float32, [0, 5]),
        .init("ids", .int64, [2]), .init("steps", .int32, [3]),
      ])
    try writer.append("steps", integers: [1, -2, 3] as [Int32])
    try writer.append("ids", integers: [Int64.max, Int64.min])
    try writer.append("scalar", [42])
    try writer.append("brain", values)
    try writer.append("double", values)
    try writer.append("half", Array(values[..<5]))
    try writer.append("half", Array(values[5...]))
    try writer.append("single", values)
    try writer.commit()

    let file = try SafetensorsFile(path: folder.file("f"))
    #expect(file.metadata == ["format": "pt"])
    #expect(try file.floats("single") == values)
    #expect(try file.floats("double") == values)
    #expect(try file.floats("single", rows: 1..<3) == Array(values[4...]))
    #expect(try file.floats("half", rows: 0..<1) == Array(values[..<4]))
    #expect(try file.floats("scalar") == [42])
    #expect(try file.floats("empty") == [])
    #expect(try file.integers("ids") == [Int.max, Int.min])
    #expect(try file.integers("steps") == [1, -2, 3])
    #expect(file.info("half")?.shape == [3, 4])
    for (a, b) in zip(try file.floats("half"), values) { #expect(abs(a - b) <= abs(b) * 0x1p-11) }
    for (a, b) in zip(try file.floats("brain"), values) { #expect(abs(a - b) <= abs(b) * 0x1p-8) }
    for tensor in file.tensors { #expect(tensor.bytes.lowerBound % tensor.type.size == 0, "\(tensor)") }
  }

  @Test("every half-precision number is read exactly and written back as it was")
  func shortFloats() {
    for bits in UInt16.min ... .max {
      let half = ShortFloat.float(float16: bits)
      let isNaN = bits & 0x7C00 == 0x7C00 && bits & 0x3FF != 0
      #expect(half.isNaN == isNaN)
      if isNaN {
        #expect(ShortFloat.float16(half) & 0x7E00 == 0x7E00)
      } else {
        #expect(ShortFloat.float16(half) == bits)
      }
      let brain = ShortFloat.float(bfloat16: bits)
      if !brain.isNaN { #expect(ShortFloat.bfloat16(brain) == bits) }
    }
    #expect(ShortFloat.float(float16: 0x3C00) == 1)
    #expect(ShortFloat.float(float16: 0x7BFF) == 65_504)
    #expect(ShortFloat.float(float16: 0x0001) == 0x1p-24)
    #expect(ShortFloat.float(float16: 0xFC00) == -.infinity)
  }

  @Test("rounding to half precision goes to the nearest, ties to even")
  func shortFloatRounding() {
    #expect(ShortFloat.float16(1 + 0x1p-11) == 0x3C00)
    #expect(ShortFloat.float16(1 + 0x1p-11 + 0x1p-20) == 0x3C01)
    #expect(ShortFloat.float16(1 + 3 * 0x1p-11) == 0x3C02)
    #expect(ShortFloat.float16(65_519) == 0x7BFF)
    #expect(ShortFloat.float16(65_520) == 0x7C00)
    #expect(ShortFloat.float16(0x1p-25) == 0)
    #expect(ShortFloat.float16(0x1.8p-24) == 2)
    #expect(ShortFloat.float16(-.infinity) == 0xFC00)
    #expect(ShortFloat.bfloat16(1 + 0x1p-8) == 0x3F80)
    #expect(ShortFloat.bfloat16(1 + 3 * 0x1p-8) == 0x3F82)
    #expect(ShortFloat.bfloat16(.greatestFiniteMagnitude) == 0x7F80)
    #expect(ShortFloat.float(bfloat16: ShortFloat.bfloat16(.nan)).isNaN)
  }

  @Test("a valid file of another writer is read, padded header and unsorted names too")
  func foreign() throws {
    let folder = try TemporaryFolder()
    let header =
      #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},"a":{"dtype":"F32","shape":[2],"#
      + #""data_offsets":[0,8]},"e":{"dtype":"F32","shape":[0],"data_offsets":[11,11]}}    "#
    let file = try SafetensorsFile(path: file(header, dataBytes: 11, in: folder))
    #expect(file.tensors.map(\.name) == ["a", "b", "e"])
    #expect(try file.rawBytes("b") == [8, 9, 10])
    #expect(file.metadata == [:])
  }

  @Test(
    "a header that lies is an error",
    arguments: [
      // Not JSON, not an object.
      "", "x", "[]", "3", #"{"a":1}"#, #"{"a":{}}"#, #"{"__metadata__":{"a":1}}"#, #"{"__metadata__":[]}"#,
      // Unknown type, shapes that aren't whole numbers, too large or negative.
      #"{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}"#,
      // Offsets that are missing, negative, falling, beyond the file, or too few for the shape.
      #"{"a":{"dtype":"F32","shape":[2]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0.0,8]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#,
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,9223372036854775807]}}"#,
      #"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
      // A hole, an overlap, data that nobody owns, a name twice.
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}}"#,
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}}"#,
      #"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#,
      #"{"a":{"dtype":"U8","shape":[7],"data_offsets":[0,7]}}"#, "{}",
      #"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}"#,
    ])
  func lyingHeaders(header: String) throws {
    let folder = try TemporaryFolder()
    let path = try file(header, dataBytes: 8, in: folder)
    let error = thrownError { _ = try SafetensorsFile(path: path) } as? FormatError
    #expect(error?.exitCode == 65)
    #expect(error?.description.hasPrefix(path) == true)
  }

  @Test("deep brackets in the header are an error, not an overflow")
  func deepHeader() throws {
    let folder = try TemporaryFolder()
    let path = try file(String(repeating: "[", count: 100_000), dataBytes: 0, in: folder)
    #expect(throws: FormatError.self) { try SafetensorsFile(path: path) }
  }

  @Test("a header's length beyond the file or the limit is an error, and so is a tiny file")
  func lengths() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("f")
    try folder.write([1, 2, 3], to: "f")
    #expect(throws: FormatError.safetensors(path: path, .tooShort(size: 3))) { try SafetensorsFile(path: path) }
    try folder.write(littleEndian(UInt64.max) + data(10), to: "f")
    #expect(throws: FormatError.safetensors(path: path, .headerTooLong(length: .max, limit: 100_000_000))) {
      try SafetensorsFile(path: path)
    }
    try folder.write(littleEndian(UInt64(11)) + data(10), to: "f")
    #expect(throws: FormatError.safetensors(path: path, .headerBeyondFile(length: 11, size: 18))) {
      try SafetensorsFile(path: path)
    }
  }

  @Test("a file cut at any place is an error that names it")
  func truncated() throws {
    let folder = try TemporaryFolder()
    let writer = try SafetensorsWriter(path: folder.file("whole"), tensors: [.init("a", .float32, [3])])
    try writer.append("a", [1, 2, 3])
    try writer.commit()
    let whole = try folder.bytes(of: "whole")
    for count in 0..<whole.count {
      try folder.write(Array(whole[..<count]), to: "cut")
      let error = thrownError { _ = try SafetensorsFile(path: folder.file("cut")) } as? FormatError
      #expect(error?.exitCode == 65, "\(count) bytes")
    }
    try folder.write(whole + [0], to: "long")
    #expect(throws: FormatError.self) { try SafetensorsFile(path: folder.file("long")) }
  }

  @Test("a file that is cut after it was opened is an error when it is read")
  func cutWhileOpen() throws {
    let folder = try TemporaryFolder()
    let writer = try SafetensorsWriter(path: folder.file("f"), tensors: [.init("a", .float32, [100])])
    try writer.append("a", [Float](repeating: 1, count: 100))
    try writer.commit()
    let file = try SafetensorsFile(path: folder.file("f"))
    try truncate(folder.file("f"), to: 200)
    let error = thrownError { _ = try file.floats("a") } as? FormatError
    guard case .cutShort = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test("asking for what isn't there or has another type is an error that says so")
  func wrongUse() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("f")
    let writer = try SafetensorsWriter(path: path, tensors: [.init("ids", .int32, [2]), .init("x", .float32, [2, 2])])
    try writer.append("ids", integers: [1, 2] as [Int32])
    try writer.append("x", [1, 2, 3, 4])
    try writer.commit()
    let file = try SafetensorsFile(path: path)
    #expect(throws: FormatError.safetensors(path: path, .noTensor("y"))) { try file.floats("y") }
    #expect(
      throws: FormatError.safetensors(path: path, .wrongType("ids", expected: "F32, F16, BF16 or F64", found: "I32"))
    ) { try file.floats("ids") }
    #expect(throws: FormatError.safetensors(path: path, .wrongType("x", expected: "I32 or I64", found: "F32"))) {
      try file.integers("x")
    }
    #expect(throws: FormatError.safetensors(path: path, .wrongCount("x", expected: 6, found: 4))) {
      try file.floats("x", rows: 1..<3)
    }
  }

  @Test("a folder of shards reads as one, and says which shard is missing or lacks a tensor")
  func shardedFolder() throws {
    let folder = try TemporaryFolder()
    for (name, value) in [("one", Float(1)), ("two", 2)] {
      let path = folder.file("\(name).safetensors")
      let writer = try SafetensorsWriter(path: path, tensors: [.init(name, .float32, [2])])
      try writer.append(name, [value, value])
      try writer.commit()
    }
    let index = "model.safetensors.index.json"
    try folder.write(#"{"weight_map":{"one":"one.safetensors","two":"two.safetensors"}}"#, to: index)
    let source = try SafetensorsFolder(path: folder.path)
    #expect(source.tensors.map(\.name) == ["one", "two"])
    #expect(try source.floats("two") == [2, 2])
    #expect(try source.floats("one", rows: 1..<2) == [1])
    #expect(throws: FormatError.safetensors(path: folder.path, .noTensor("three"))) { try source.floats("three") }

    let bad = [
      #"{"weight_map":{"one":"three.safetensors"}}"#, #"{"weight_map":{"two":"one.safetensors"}}"#,
      #"{"weight_map":{"one":"../one.safetensors"}}"#, #"{"weight_map":{"one":3}}"#, #"{"weight_map":[]}"#, "{",
    ]
    for text in bad {
      try folder.write(text, to: index)
      let error = thrownError { _ = try SafetensorsFolder(path: folder.path) } as? FormatError
      #expect(error?.exitCode == 65, "\(text)")
    }
    try FileSystem.remove(folder.file(index))
    #expect(throws: FormatError.self) { try SafetensorsFolder(path: folder.path) }
    #expect(throws: FormatError.missing(path: folder.file("no"))) { try SafetensorsFolder(path: folder.file("no")) }
  }
}

func littleEndian<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
