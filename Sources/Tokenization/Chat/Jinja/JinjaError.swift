/// Why a template can't be read or rendered, and on which of its lines.
struct JinjaError: Error, Equatable {
  enum Kind { case problem, refusal }

  /// From 1; 0 until whoever knows the line has filled it in.
  var line = 0
  var kind = Kind.problem
  let text: String

  init(_ text: String, line: Int = 0) {
    self.text = text
    self.line = line
  }

  /// What the template says itself with `raise_exception`.
  static func refusal(_ text: String) -> JinjaError {
    var error = JinjaError(text)
    error.kind = .refusal
    return error
  }

  static func unsupported(_ found: String, supported: String) -> JinjaError {
    JinjaError("\(found) is not supported (supported: \(supported))")
  }

  func at(_ line: Int) -> JinjaError {
    var error = self
    if error.line == 0 { error.line = line }
    return error
  }
}
