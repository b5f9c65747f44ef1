/// A safetensors header, read and checked.
struct SafetensorsHeader {
  /// In the order of their bytes; the places are those in the file.
  private(set) var tensors: [TensorInfo] = []
  private(set) var metadata: [String: String] = [:]

  enum Failure: Error {
    case problem(SafetensorsProblem)
    case file(FormatError)
  }

  init(of file: InputFile) throws(Failure) {
    guard file.size >= 8 else { throw .problem(.tooShort(size: file.size)) }
    let claimed = try Self.read(8, of: file, at: 0).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    guard let length = Int(exactly: UInt64(littleEndian: claimed)), length <= SafetensorsFile.headerLimit else {
      throw .problem(.headerTooLong(length: UInt64(littleEndian: claimed), limit: SafetensorsFile.headerLimit))
    }
    guard length <= file.size - 8 else { throw .problem(.headerBeyondFile(length: length, size: file.size)) }
    let json: JSON
    do {
      json = try JSON.parse(try Self.read(length, of: file, at: 8))
    } catch let error as JSONError {
      throw .problem(.headerJSON(error))
    } catch let error as Failure {
      throw error
    } catch {
      throw .problem(.header("\(error)"))
    }
    do {
      try parse(json, dataStart: 8 + length, fileSize: file.size)
    } catch {
      throw .problem(error)
    }
  }

  private static func read(_ count: Int, of file: InputFile, at offset: Int) throws(Failure) -> [UInt8] {
    do {
      return try file.read(count: count, at: offset)
    } catch {
      throw .file(error)
    }
  }

  private mutating func parse(_ json: JSON, dataStart: Int, fileSize: Int) throws(SafetensorsProblem) {
    guard let object = json.object else { throw .header("expected an object, found \(json.kind)") }
    for (name, value) in object {
      if name == "__metadata__" {
        guard let members = value.object else { throw .header("__metadata__: expected an object, found \(value.kind)") }
        for (key, value) in members {
          guard let text = value.string else { throw .header("__metadata__: expected texts, found \(value.kind)") }
          metadata[key] = text
        }
      } else {
        tensors.append(try Self.tensor(name, value, dataStart: dataStart))
      }
    }
    tensors.sort { ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound) }
    var end = dataStart
    for tensor in tensors {
      guard tensor.bytes.lowerBound == end else {
        throw .gap(before: tensor.name, expected: end - dataStart, found: tensor.bytes.lowerBound - dataStart)
      }
      end = tensor.bytes.upperBound
    }
    guard end == fileSize else { throw .sizeDiffers(expected: end, found: fileSize) }
  }

  private static func tensor(
    _ name: String, _ value: JSON, dataStart: Int
  ) throws(SafetensorsProblem) -> TensorInfo {
    guard let typeName = value["dtype"]?.string else { throw .tensor(name, problem: "expected a dtype") }
    guard let type = TensorType(rawValue: typeName) else {
      let known = TensorType.allCases.map(\.rawValue).joined(separator: ", ")
      throw .tensor(name, problem: "unknown dtype '\(typeName)'; known are \(known)")
    }
    guard let dimensions = value["shape"]?.array else { throw .tensor(name, problem: "expected a shape") }
    var shape: [Int] = []
    var size = type.size
    for dimension in dimensions {
      guard case .integer(let number) = dimension, let length = Int(exactly: number), length >= 0 else {
        throw .tensor(name, problem: "expected whole numbers in its shape, found \(dimension.serialized())")
      }
      shape.append(length)
      let (product, overflow) = size.multipliedReportingOverflow(by: length)
      guard !overflow else { throw .tensor(name, problem: "its shape is too large") }
      size = product
    }
    guard let offsets = value["data_offsets"]?.array, offsets.count == 2,
      case .integer(let first) = offsets[0], case .integer(let last) = offsets[1],
      0 <= first, first <= last, last <= Int64.max / 2
    else { throw .tensor(name, problem: "expected data_offsets of two rising numbers") }
    guard last - first == Int64(size) else {
      throw .tensor(name, problem: "its shape and dtype need \(size) bytes, its data_offsets hold \(last - first)")
    }
    return TensorInfo(name: name, type: type, shape: shape, bytes: dataStart + Int(first)..<dataStart + Int(last))
  }
}
