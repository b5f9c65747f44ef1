/// Why a text is not JSON, and where.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Problem: Equatable, Sendable {
    case expected(String, found: String)
    case duplicateKey(String)
    case tooDeep(limit: Int)
    case numberOutOfRange(String)
    case badEscape(String)
    case loneSurrogate(String)
    case controlCharacter(UInt8)
    case invalidUTF8
  }

  package let problem: Problem
  /// Bytes before the place of the error.
  package let offset: Int
  /// Counted from 1.
  package let line: Int

  package init(_ problem: Problem, offset: Int, line: Int) {
    self.problem = problem
    self.offset = offset
    self.line = line
  }

  package var description: String { "JSON: line \(line), byte \(offset): \(problem.text)" }
}

extension JSONError.Problem {
  package var text: String {
    switch self {
    case .expected(let what, let found):
      "expected \(what), found \(found)"
    case .duplicateKey(let key):
      "the key \"\(key)\" is there twice; expected each key once"
    case .tooDeep(let limit):
      "more than \(limit) levels of brackets; expected at most \(limit)"
    case .numberOutOfRange(let text):
      "the number \(text) is too large for a 64-bit float"
    case .badEscape(let text):
      "bad escape \(text); expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u and four hexadecimal digits"
    case .loneSurrogate(let text):
      "\(text) is half of a surrogate pair; expected \\uD800–\\uDBFF followed by \\uDC00–\\uDFFF"
    case .controlCharacter(let byte):
      "control character \(hex(byte)) inside a string; expected it as an escape"
    case .invalidUTF8:
      "invalid UTF-8; expected text in UTF-8"
    }
  }
}

func hex(_ byte: UInt8) -> String {
  let digits = String(byte, radix: 16, uppercase: true)
  return "0x" + (digits.count == 1 ? "0" + digits : digits)
}
