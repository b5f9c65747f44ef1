/// Writes a safetensors file: the list of tensors first, then their bodies, in any order and in pieces.
///
/// Larger element types come first in the file and the header is padded to 8 bytes, so that every tensor is aligned
/// for its type. The file appears under its name, whole and synced, with ``commit()``.
package final class SafetensorsWriter {
  package struct Tensor: Equatable, Sendable {
    package let name: String
    package let type: TensorType
    package let shape: [Int]

    package init(_ name: String, _ type: TensorType, _ shape: [Int]) {
      self.name = name
      self.type = type
      self.shape = shape
    }

    var count: Int { shape.reduce(1, *) }
  }

  private struct Place {
    let type: TensorType
    let bytes: Range<Int>
    var written = 0
  }

  private let file: OutputFile
  private var places: [String: Place] = [:]

  package init(
    path: String, tensors: [Tensor], metadata: [(key: String, value: String)] = [("format", "pt")]
  ) throws(FormatError) {
    file = try OutputFile(path: path)
    var members = JSONObject()
    members["__metadata__"] = .object(JSONObject(metadata.map { ($0.key, JSON($0.value)) }))
    var offset = 0
    let order = tensors.indices.sorted {
      (-tensors[$0].type.size, $0) < (-tensors[$1].type.size, $1)
    }
    for tensor in order.map({ tensors[$0] }) {
      let end = offset + tensor.count * tensor.type.size
      members[tensor.name] = [
        "dtype": JSON(tensor.type.rawValue), "shape": JSON(tensor.shape.map { JSON($0) }),
        "data_offsets": [JSON(offset), JSON(end)],
      ]
      precondition(places.updateValue(Place(type: tensor.type, bytes: offset..<end), forKey: tensor.name) == nil)
      offset = end
    }

    var header = JSON.object(members).serializedBytes()
    header.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - header.count % 8) % 8))
    let dataStart = 8 + header.count
    places = places.mapValues { place in
      Place(type: place.type, bytes: dataStart + place.bytes.lowerBound..<dataStart + place.bytes.upperBound)
    }
    try file.write(withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header)
  }

  /// Writes values of a tensor, which follow those written before; they are rounded to its type.
  package func append(_ name: String, _ values: UnsafeBufferPointer<Float>) throws(FormatError) {
    let type = place(name).type
    switch type {
    case .float32: try append(name, bytes: UnsafeRawBufferPointer(values))
    case .float16: try convert(name, values) { ShortFloat.float16($0).littleEndian }
    case .bfloat16: try convert(name, values) { ShortFloat.bfloat16($0).littleEndian }
    case .float64: try convert(name, values) { Double($0).bitPattern.littleEndian }
    default: preconditionFailure("'\(name)' isn't a float tensor")
    }
  }

  package func append(_ name: String, _ values: [Float]) throws(FormatError) {
    try values.withUnsafeBufferPointer { buffer throws(FormatError) in try append(name, buffer) }
  }

  /// Writes bytes of a tensor of any type, little-endian.
  package func append(_ name: String, bytes: UnsafeRawBufferPointer) throws(FormatError) {
    let place = place(name)
    precondition(place.written + bytes.count <= place.bytes.count, "too many values for '\(name)'")
    try file.write(bytes, at: place.bytes.lowerBound + place.written)
    places[name]?.written += bytes.count
  }

  package func append(_ name: String, integers values: [Int32]) throws(FormatError) {
    precondition(place(name).type == .int32)
    try values.map(\.littleEndian).lendBytes { bytes throws(FormatError) in try append(name, bytes: bytes) }
  }

  package func append(_ name: String, integers values: [Int64]) throws(FormatError) {
    precondition(place(name).type == .int64)
    try values.map(\.littleEndian).lendBytes { bytes throws(FormatError) in try append(name, bytes: bytes) }
  }

  package func commit() throws(FormatError) {
    for (name, place) in places {
      precondition(place.written == place.bytes.count, "'\(name)' isn't written to its end")
    }
    try file.commit()
  }

  private func place(_ name: String) -> Place {
    guard let place = places[name] else { preconditionFailure("no tensor '\(name)' was announced") }
    return place
  }

  private func convert<Stored: BitwiseCopyable>(
    _ name: String, _ values: UnsafeBufferPointer<Float>, _ stored: (Float) -> Stored
  ) throws(FormatError) {
    var start = 0
    while start < values.count {
      let block = values[start..<min(start + 1 << 18, values.count)].map(stored)
      try block.lendBytes { bytes throws(FormatError) in try append(name, bytes: bytes) }
      start += block.count
    }
  }
}

extension JSONObject {
  init(_ members: [(String, JSON)]) {
    self.init()
    for (key, value) in members { self[key] = value }
  }
}
