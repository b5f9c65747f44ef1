/// A file of TensorBoard events: numbers and texts at the steps of a run.
///
/// It is a TFRecord file: each record is its length (uint64), the masked checksum of that, the bytes, and their masked
/// checksum; the bytes are an `Event` of TensorFlow's event.proto.
package final class TensorBoardFile {
  package enum Value: Sendable {
    case scalar(Double)
    case text(String)
  }

  private let file: GrowingFile

  /// Begins the next file of a folder: readers take a run's files in the order of their names.
  ///
  /// - Parameter firstStep: from here on everything comes anew: readers drop what earlier files say of it.
  /// - Throws: ``FormatError``.
  package init(folder: String, firstStep: Int, time: Double) throws(FormatError) {
    let prefix = "events.out.tfevents."
    let number = try FileSystem.names(in: folder).count { $0.hasPrefix(prefix) } + 1
    let digits = String(number)
    let padded = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    file = try GrowingFile(path: Path.join(folder, prefix + padded + ".mayfly"))
    var version = Protobuf()
    version.add(1, time)
    version.add(3, "brain.Event:2")
    try append(version)
    // SessionLog.START, which makes readers drop what is at this step or later.
    var start = Protobuf()
    start.add(1, 1)
    var session = Protobuf()
    session.add(1, time)
    session.add(2, firstStep)
    session.add(7, start)
    try append(session)
  }

  /// - Parameter time: seconds since 1970.
  package func append(
    _ values: [(tag: String, value: Value)], step: Int, time: Double
  ) throws(FormatError) {
    var summary = Protobuf()
    for (tag, value) in values { summary.add(1, Self.message(tag, value)) }
    var event = Protobuf()
    event.add(1, time)
    event.add(2, step)
    event.add(5, summary)
    try append(event)
  }

  package func flush() throws(FormatError) { try file.flush() }

  /// A `Summary.Value`.
  private static func message(_ tag: String, _ value: Value) -> Protobuf {
    var message = Protobuf()
    message.add(1, tag)
    switch value {
    case .scalar(let number):
      message.add(2, Float(number))
    case .text(let text):
      // A tensor of one string, and the plugin that shows it.
      var size = Protobuf()
      size.add(1, 1)
      var shape = Protobuf()
      shape.add(2, size)
      var tensor = Protobuf()
      let stringType = 7
      tensor.add(1, stringType)
      tensor.add(2, shape)
      tensor.add(8, text)
      message.add(8, tensor)
      var plugin = Protobuf()
      plugin.add(1, "text")
      var metadata = Protobuf()
      metadata.add(1, plugin)
      message.add(9, metadata)
    }
    return message
  }

  private func append(_ event: Protobuf) throws(FormatError) {
    let length = Self.littleEndian(UInt64(event.bytes.count))
    try file.append(length + Self.maskedChecksum(length) + event.bytes + Self.maskedChecksum(event.bytes))
  }

  /// Rotated and shifted: the checksum of bytes that hold checksums would say little.
  private static func maskedChecksum(_ bytes: [UInt8]) -> [UInt8] {
    let sum = CRC32C.checksum(bytes)
    return littleEndian((sum >> 15 | sum << 17) &+ 0xA282_EAD8)
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}

/// A message of Protocol Buffers as it grows, field by field.
private struct Protobuf {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ field: Int, _ value: Int) {
    addKey(field, type: 0)
    addVarint(UInt64(bitPattern: Int64(value)))
  }

  mutating func add(_ field: Int, _ value: Double) {
    addKey(field, type: 1)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
  }

  mutating func add(_ field: Int, _ value: Float) {
    addKey(field, type: 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
  }

  mutating func add(_ field: Int, _ text: String) { add(field, Array(text.utf8)) }
  mutating func add(_ field: Int, _ message: Protobuf) { add(field, message.bytes) }

  private mutating func add(_ field: Int, _ content: [UInt8]) {
    addKey(field, type: 2)
    addVarint(UInt64(content.count))
    bytes += content
  }

  private mutating func addKey(_ field: Int, type: Int) { addVarint(UInt64(field << 3 | type)) }

  /// Seven bits a byte, the lowest first; the eighth says that more follow.
  private mutating func addVarint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
