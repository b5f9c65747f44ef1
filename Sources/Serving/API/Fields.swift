package import Formats

/// The fields of a request: each has the type and range asked for, or the error names it. Null is as not given, and
/// fields that nobody asks for are ignored.
package struct Fields {
  private let object: JSONObject

  /// - Throws: ``APIError`` unless the body is one JSON object.
  package init(_ body: UnsafeRawBufferPointer) throws(APIError) {
    let json: JSON
    do { json = try JSON.parse(body) } catch {
      throw .invalid(nil, "the body can't be read: \(error)", code: "invalid_json")
    }
    guard let object = json.object else {
      throw .invalid(nil, "the body is \(json.kind); expected a JSON object", code: "invalid_json")
    }
    self.object = object
  }

  package init(_ object: JSONObject) { self.object = object }

  package subscript(key: String) -> JSON? {
    guard let value = object[key], !value.isNull else { return nil }
    return value
  }

  package func string(_ key: String) throws(APIError) -> String? {
    try value(key, "a string") { $0.string }
  }

  package func bool(_ key: String) throws(APIError) -> Bool? {
    try value(key, "true or false") { $0.bool }
  }

  package func integer(_ key: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
    let expected =
      range.upperBound == .max ? "from \(range.lowerBound) up" : "from \(range.lowerBound) to \(range.upperBound)"
    return try value(key, "an integer \(expected)") { json in json.int.flatMap { range.contains($0) ? $0 : nil } }
  }

  package func number(_ key: String, in range: ClosedRange<Double>) throws(APIError) -> Double? {
    try value(key, "a number from \(range.lowerBound) to \(range.upperBound)") { json in
      json.double.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  package func array(_ key: String) throws(APIError) -> [JSON]? {
    try value(key, "an array") { $0.array }
  }

  package func fields(_ key: String) throws(APIError) -> Fields? {
    try value(key, "an object") { $0.object }.map { Fields($0) }
  }

  /// Refuses a field that would change the answer in a way that is not built, unless it says what is done anyway.
  package func require(_ key: String, _ supported: String, _ holds: (JSON) -> Bool) throws(APIError) {
    guard let value = self[key] else { return }
    guard holds(value) else { throw .unsupported(key, supported: supported) }
  }

  private func value<Value>(
    _ key: String, _ expected: String, _ convert: (JSON) -> Value?
  ) throws(APIError) -> Value? {
    guard let json = self[key] else { return nil }
    guard let value = convert(json) else { throw .invalid(key, "expected \(expected), found \(shown(json))") }
    return value
  }
}

/// A value as an error shows it: numbers themselves, of the rest the kind.
func shown(_ json: JSON) -> String {
  switch json {
  case .integer, .number: json.serialized()
  default: json.kind
  }
}
