/// A record in Thrift's compact protocol, in which Parquet writes its headers: values by the numbers of their fields.
///
/// Of the types only those are kept that headers need; the others are read over.
struct ThriftStruct {
  indirect enum Value {
    case integer(Int)
    case boolean(Bool)
    case bytes([UInt8])
    case list([Value])
    case record(ThriftStruct)
    case other
  }

  private var fields: [Int: Value] = [:]

  private static let deepest = 32

  init(_ cursor: inout ParquetCursor, depth: Int = 0) throws(ParquetFailure) {
    var field = 0
    while true {
      let head = try cursor.byte()
      if head == 0 { return }
      let delta = Int(head >> 4)
      field = delta == 0 ? Int(truncatingIfNeeded: try cursor.zigzag()) : field &+ delta
      let type = head & 0x0F
      // In a field, a boolean is its type.
      fields[field] = type <= 2 ? .boolean(type == 1) : try Self.value(of: type, &cursor, depth: depth)
    }
  }

  private static func value(
    of type: UInt8, _ cursor: inout ParquetCursor, depth: Int
  ) throws(ParquetFailure) -> Value {
    guard depth < Self.deepest else { throw .damage("records more than \(Self.deepest) deep") }
    switch type {
    case 1, 2:
      return .boolean(try cursor.byte() == 1)
    case 3:
      return .integer(Int(Int8(bitPattern: try cursor.byte())))
    case 4, 5, 6:
      return .integer(Int(try cursor.zigzag()))
    case 7:
      _ = try cursor.take(8)
      return .other
    case 8:
      let count = try cursor.count(atMost: cursor.left)
      return .bytes(Array(try cursor.take(count)))
    case 9, 10:
      let head = try cursor.byte()
      // Each element takes at least a byte.
      let count = head >> 4 == 15 ? try cursor.count(atMost: cursor.left) : Int(head >> 4)
      var values: [Value] = []
      for _ in 0..<count { values.append(try value(of: head & 0x0F, &cursor, depth: depth + 1)) }
      return .list(values)
    case 12:
      return .record(try ThriftStruct(&cursor, depth: depth + 1))
    default:
      throw .damage("a field of type \(type), which no header has")
    }
  }

  // MARK: Fields

  func integer(_ field: Int) -> Int? {
    if case .integer(let value) = fields[field] { value } else { nil }
  }

  func required(_ field: Int, _ name: String) throws(ParquetFailure) -> Int {
    guard let value = integer(field) else { throw .damage("no \(name)") }
    return value
  }

  func boolean(_ field: Int) -> Bool? {
    if case .boolean(let value) = fields[field] { value } else { nil }
  }

  func text(_ field: Int) -> String? {
    if case .bytes(let bytes) = fields[field] { String(decoding: bytes, as: UTF8.self) } else { nil }
  }

  func record(_ field: Int) -> ThriftStruct? {
    if case .record(let record) = fields[field] { record } else { nil }
  }

  func records(_ field: Int) -> [ThriftStruct] {
    guard case .list(let values) = fields[field] else { return [] }
    return values.compactMap { if case .record(let record) = $0 { record } else { nil } }
  }
}
