/// A safetensors file, opened for reading.
///
/// The header is a length (8 bytes, little-endian) and JSON of that length; the tensors' bytes follow, without holes.
/// Everything the header claims is checked before anything is read by it.
package final class SafetensorsFile: TensorSource {
  package let path: String
  /// In the order of their bytes.
  package let tensors: [TensorInfo]
  package let metadata: [String: String]
  private let file: InputFile
  private let positions: [String: Int]

  /// safetensors' own limit.
  static let headerLimit = 100_000_000

  package init(path: String) throws(FormatError) {
    self.path = path
    file = try InputFile(path: path)
    let header: SafetensorsHeader
    do {
      header = try SafetensorsHeader(of: file)
    } catch {
      switch error {
      case .problem(let problem): throw .safetensors(path: path, problem)
      case .file(let error): throw error
      }
    }
    tensors = header.tensors
    metadata = header.metadata
    var positions: [String: Int] = [:]
    for (position, tensor) in header.tensors.enumerated() { positions[tensor.name] = position }
    self.positions = positions
  }

  package func info(_ name: String) -> TensorInfo? { positions[name].map { tensors[$0] } }

  package func read(
    _ name: String, from start: Int, into buffer: UnsafeMutableBufferPointer<Float>
  ) throws(FormatError) {
    let info = try require(name)
    guard start >= 0, start + buffer.count <= info.count else {
      throw .safetensors(path: path, .wrongCount(name, expected: start + buffer.count, found: info.count))
    }
    let offset = info.bytes.lowerBound + start * info.type.size
    switch info.type {
    case .float32:
      try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
    case .float16:
      try convert(UInt16.self, at: offset, into: buffer) { ShortFloat.float(float16: UInt16(littleEndian: $0)) }
    case .bfloat16:
      try convert(UInt16.self, at: offset, into: buffer) { ShortFloat.float(bfloat16: UInt16(littleEndian: $0)) }
    case .float64:
      try convert(UInt64.self, at: offset, into: buffer) { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
    default:
      throw .safetensors(path: path, .wrongType(name, expected: "F32, F16, BF16 or F64", found: info.type.rawValue))
    }
  }

  /// The tensor's own bytes, whatever their type: for integers, and for copying.
  package func rawBytes(_ name: String) throws(FormatError) -> [UInt8] {
    let info = try require(name)
    return try file.read(count: info.bytes.count, at: info.bytes.lowerBound)
  }

  /// A tensor of I32 or I64.
  package func integers(_ name: String) throws(FormatError) -> [Int] {
    let info = try require(name)
    let bytes = try rawBytes(name)
    return try bytes.lendBytes { bytes throws(FormatError) in
      switch info.type {
      case .int32:
        (0..<info.count).map { Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))) }
      case .int64:
        (0..<info.count).map { Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))) }
      default:
        throw .safetensors(path: path, .wrongType(name, expected: "I32 or I64", found: info.type.rawValue))
      }
    }
  }

  /// Reads by way of a small block, so that a large tensor needs no second copy.
  private func convert<Stored: BitwiseCopyable>(
    _ type: Stored.Type, at offset: Int, into buffer: UnsafeMutableBufferPointer<Float>, _ value: (Stored) -> Float
  ) throws(FormatError) {
    let blockCount = min(buffer.count, 1 << 18)
    let block = UnsafeMutableBufferPointer<Stored>.allocate(capacity: blockCount)
    defer { block.deallocate() }
    var done = 0
    while done < buffer.count {
      let count = min(blockCount, buffer.count - done)
      let part = UnsafeMutableBufferPointer(rebasing: block[..<count])
      try file.read(into: UnsafeMutableRawBufferPointer(part), at: offset + done * MemoryLayout<Stored>.size)
      for index in 0..<count { buffer[done + index] = value(part[index]) }
      done += count
    }
  }
}

/// What is wrong with a safetensors file, or with what is asked of it.
package enum SafetensorsProblem: Error, Equatable {
  case tooShort(size: Int)
  case headerTooLong(length: UInt64, limit: Int)
  case headerBeyondFile(length: Int, size: Int)
  case headerJSON(JSONError)
  case header(String)
  case tensor(String, problem: String)
  case gap(before: String, expected: Int, found: Int)
  case sizeDiffers(expected: Int, found: Int)
  case noTensor(String)
  case wrongType(String, expected: String, found: String)
  case wrongCount(String, expected: Int, found: Int)

  var text: String {
    switch self {
    case .tooShort(let size):
      "isn't a safetensors file: expected at least 8 bytes, found \(size)"
    case .headerTooLong(let length, let limit):
      "isn't a safetensors file, or is damaged: its header claims \(length) bytes; expected at most \(limit)"
    case .headerBeyondFile(let length, let size):
      "cut short, or not a safetensors file: its header claims \(length) bytes, the file has \(size)"
    case .headerJSON(let error):
      "the header is damaged: \(error)"
    case .header(let problem):
      "the header is damaged: \(problem)"
    case .tensor(let name, let problem):
      "the header is damaged: tensor '\(name)': \(problem)"
    case .gap(let name, let expected, let found):
      "the header is damaged: tensor '\(name)' starts at byte \(found) of the data; expected \(expected), "
        + "as tensors follow each other without holes or overlaps"
    case .sizeDiffers(let expected, let found):
      "\(found < expected ? "cut short" : "too long"): expected \(expected) bytes, found \(found); "
        + "copy or download the file again"
    case .noTensor(let name):
      "has no tensor '\(name)'"
    case .wrongType(let name, let expected, let found):
      "tensor '\(name)': expected \(expected), found \(found)"
    case .wrongCount(let name, let expected, let found):
      "tensor '\(name)': expected \(expected) elements, found \(found)"
    }
  }
}
