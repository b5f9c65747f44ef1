/// What can stand behind `is`.
enum JinjaTest: String, CaseIterable {
  case defined, undefined, none, boolean, integer, float, number, string, mapping, sequence, iterable, callable
  case `true`, `false`, odd, even, divisibleby, upper, lower, sameas, `in`
  case equalto, eq, ne, lt, le, gt, ge, lessthan, greaterthan
}

extension JinjaInterpreter {
  func test(_ value: JinjaValue, _ name: String, _ arguments: JinjaArguments) throws(JinjaError) -> Bool {
    guard let test = JinjaTest(rawValue: name) else {
      throw .unsupported(
        "the test '\(name)'", supported: JinjaTest.allCases.map(\.rawValue).joined(separator: ", "))
    }
    func other() throws(JinjaError) -> JinjaValue {
      guard let other = arguments.positional.first ?? arguments.named.first?.value else {
        throw JinjaError("the test '\(name)' needs a value")
      }
      return other
    }
    func hasRemainder(_ rest: Int, by divisor: JinjaValue) throws(JinjaError) -> Bool {
      try JinjaOperators.equal(try JinjaOperators.binary("%", value, divisor, budget), .integer(rest), budget)
    }
    switch test {
    case .defined: return !value.isUndefined
    case .undefined: return value.isUndefined
    case .none: return value.isNone
    case .boolean: if case .bool = value { return true } else { return false }
    case .integer: if case .integer = value { return true } else { return false }
    case .float: if case .number = value { return true } else { return false }
    case .number: return value.double != nil
    case .string: return value.text != nil
    case .mapping: if case .dict = value { return true } else { return false }
    case .sequence, .iterable:
      switch value {
      case .text, .list, .dict, .undefined: return true
      default: return false
      }
    case .callable:
      switch value {
      case .macro, .function, .undefined: return true
      default: return false
      }
    case .true: if case .bool(true) = value { return true } else { return false }
    case .false: if case .bool(false) = value { return true } else { return false }
    case .odd: return try hasRemainder(1, by: .integer(2))
    case .even: return try hasRemainder(0, by: .integer(2))
    case .divisibleby: return try hasRemainder(0, by: try other())
    case .upper, .lower:
      let text = try JinjaPrinter.print(value, budget)
      return text.contains { $0.properties.isCased } && text == (test == .upper ? text.uppercased : text.lowercased)
    case .sameas:
      switch (value, try other()) {
      case (.bool(let a), .bool(let b)): return a == b
      case (.bool, _), (_, .bool): return false
      case (let a, let b): return try JinjaOperators.equal(a, b, budget)
      }
    case .in: return try JinjaOperators.contains(try other(), value, budget)
    case .equalto, .eq: return try JinjaOperators.compare("==", value, try other(), budget)
    case .ne: return try JinjaOperators.compare("!=", value, try other(), budget)
    case .lt, .lessthan: return try JinjaOperators.compare("<", value, try other(), budget)
    case .le: return try JinjaOperators.compare("<=", value, try other(), budget)
    case .gt, .greaterthan: return try JinjaOperators.compare(">", value, try other(), budget)
    case .ge: return try JinjaOperators.compare(">=", value, try other(), budget)
    }
  }
}
