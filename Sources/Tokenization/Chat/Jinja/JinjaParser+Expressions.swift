/// Expressions, from the loosest binding to the tightest, with Jinja's precedence: `~` binds tighter than `+`.
extension JinjaParser {
  mutating func expression(withCondition: Bool = true) throws(JinjaError) -> JinjaExpression {
    try nested { parser throws(JinjaError) in
      try withCondition ? parser.conditional() : parser.either()
    }
  }

  /// An expression, or several between commas.
  mutating func tuple(
    withCondition: Bool = true, end: String? = nil, isEmptyAllowed: Bool = false
  ) throws(JinjaError) -> JinjaExpression {
    let line = current.line
    var items: [JinjaExpression] = []
    var isTuple = false
    while true {
      let isAtEnd = current.kind == .variableEnd || current.kind == .blockEnd || isSymbol(")")
      if isAtEnd || end.map(isName) ?? false { break }
      items.append(try expression(withCondition: withCondition))
      guard skip(symbol: ",") else { break }
      isTuple = true
    }
    if isTuple || items.isEmpty && isEmptyAllowed {
      return try JinjaExpression(.tuple(items), line: line, over: items)
    }
    guard let item = items.first else { throw wrong("an expression") }
    return item
  }

  private mutating func conditional() throws(JinjaError) -> JinjaExpression {
    var value = try either()
    while skip(name: "if") {
      let test = try either()
      let otherwise: JinjaExpression? = skip(name: "else") ? try expression() : nil
      value = try JinjaExpression(
        .condition(test: test, then: value, otherwise: otherwise), line: value.line,
        over: [value, test] + (otherwise.map { [$0] } ?? []))
    }
    return value
  }

  private mutating func either() throws(JinjaError) -> JinjaExpression {
    var left = try both()
    while skip(name: "or") {
      let right = try both()
      left = try JinjaExpression(.or(left, right), line: left.line, over: [left, right])
    }
    return left
  }

  private mutating func both() throws(JinjaError) -> JinjaExpression {
    var left = try negation()
    while skip(name: "and") {
      let right = try negation()
      left = try JinjaExpression(.and(left, right), line: left.line, over: [left, right])
    }
    return left
  }

  private mutating func negation() throws(JinjaError) -> JinjaExpression {
    let line = current.line
    guard skip(name: "not") else { return try comparison() }
    let value = try nested { parser throws(JinjaError) in try parser.negation() }
    return try JinjaExpression(.not(value), line: line, over: [value])
  }

  private mutating func comparison() throws(JinjaError) -> JinjaExpression {
    let left = try sum()
    var others: [(sign: String, JinjaExpression)] = []
    while true {
      if case .symbol(let sign) = current.kind, ["==", "!=", "<", "<=", ">", ">="].contains(sign) {
        take()
        others.append((sign, try sum()))
      } else if skip(name: "in") {
        others.append(("in", try sum()))
      } else if isName("not"), next.kind == .name("in") {
        take()
        take()
        others.append(("not in", try sum()))
      } else {
        break
      }
    }
    guard !others.isEmpty else { return left }
    return try JinjaExpression(.comparison(left, others), line: left.line, over: [left] + others.map(\.1))
  }

  private mutating func binary(
    _ signs: [String], _ operand: (inout JinjaParser) throws(JinjaError) -> JinjaExpression
  ) throws(JinjaError) -> JinjaExpression {
    var left = try operand(&self)
    while case .symbol(let sign) = current.kind, signs.contains(sign) {
      take()
      let right = try operand(&self)
      left = try JinjaExpression(.binary(left, sign, right), line: left.line, over: [left, right])
    }
    return left
  }

  private mutating func sum() throws(JinjaError) -> JinjaExpression {
    try binary(["+", "-"]) { parser throws(JinjaError) in try parser.concatenation() }
  }

  private mutating func concatenation() throws(JinjaError) -> JinjaExpression {
    var parts = [try product()]
    while skip(symbol: "~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : try JinjaExpression(.concatenation(parts), line: parts[0].line, over: parts)
  }

  private mutating func product() throws(JinjaError) -> JinjaExpression {
    try binary(["*", "/", "//", "%"]) { parser throws(JinjaError) in
      try parser.binary(["**"]) { parser throws(JinjaError) in try parser.unary(withFilter: true) }
    }
  }

  private mutating func unary(withFilter: Bool) throws(JinjaError) -> JinjaExpression {
    let line = current.line
    var value: JinjaExpression
    if isSymbol("-") || isSymbol("+") {
      let isNegative = isSymbol("-")
      take()
      let inner = try nested { parser throws(JinjaError) in try parser.unary(withFilter: false) }
      value = try JinjaExpression(isNegative ? .negative(inner) : .positive(inner), line: line, over: [inner])
    } else {
      value = try primary()
    }
    value = try postfix(value)
    guard withFilter else { return value }
    while true {
      if isSymbol("|") {
        take()
        value = try filter(of: value)
      } else if isName("is") {
        value = try test(of: value)
      } else if isSymbol("(") {
        value = try call(of: value)
      } else {
        return value
      }
    }
  }

  private mutating func primary() throws(JinjaError) -> JinjaExpression {
    let token = current
    switch token.kind {
    case .name(let name):
      take()
      switch name {
      case "true", "True": return try JinjaExpression(.constant(.bool(true)), line: token.line)
      case "false", "False": return try JinjaExpression(.constant(.bool(false)), line: token.line)
      case "none", "None": return try JinjaExpression(.constant(.none), line: token.line)
      default:
        names.insert(name)
        return try JinjaExpression(.name(name), line: token.line)
      }
    case .string(var text):
      take()
      while case .string(let more) = current.kind {
        text += more
        take()
      }
      return try JinjaExpression(.constant(.text(text)), line: token.line)
    case .integer(let value):
      take()
      return try JinjaExpression(.constant(.integer(value)), line: token.line)
    case .float(let value):
      take()
      return try JinjaExpression(.constant(.number(value)), line: token.line)
    case .symbol("("):
      take()
      let value = try tuple(isEmptyAllowed: true)
      try expect(symbol: ")")
      return value
    case .symbol("["):
      take()
      var items: [JinjaExpression] = []
      while !isSymbol("]") {
        items.append(try expression())
        guard skip(symbol: ",") else { break }
      }
      try expect(symbol: "]")
      return try JinjaExpression(.list(items), line: token.line, over: items)
    case .symbol("{"):
      take()
      var pairs: [(key: JinjaExpression, value: JinjaExpression)] = []
      while !isSymbol("}") {
        let key = try expression()
        try expect(symbol: ":")
        pairs.append((key, try expression()))
        guard skip(symbol: ",") else { break }
      }
      try expect(symbol: "}")
      return try JinjaExpression(.dict(pairs), line: token.line, over: pairs.flatMap { [$0.key, $0.value] })
    default:
      throw wrong("an expression")
    }
  }

  private mutating func postfix(_ start: JinjaExpression) throws(JinjaError) -> JinjaExpression {
    var value = start
    while true {
      let line = current.line
      if skip(symbol: ".") {
        switch take().kind {
        case .name(let name): value = try JinjaExpression(.attribute(value, name), line: line, over: [value])
        case .integer(let index):
          let index = try JinjaExpression(.constant(.integer(index)), line: line)
          value = try JinjaExpression(.item(value, index), line: line, over: [value])
        default: throw JinjaError("expected a name or a number behind '.'", line: line)
        }
      } else if skip(symbol: "[") {
        var items: [JinjaExpression] = []
        while !isSymbol("]") {
          if !items.isEmpty { try expect(symbol: ",") }
          items.append(try subscripted())
        }
        try expect(symbol: "]")
        let index = items.count == 1 ? items[0] : try JinjaExpression(.tuple(items), line: line, over: items)
        value = try JinjaExpression(.item(value, index), line: line, over: [value, index])
      } else if isSymbol("(") {
        value = try call(of: value)
      } else {
        return value
      }
    }
  }

  private mutating func subscripted() throws(JinjaError) -> JinjaExpression {
    let line = current.line
    var bounds: [JinjaExpression?] = [nil, nil, nil]
    if !isSymbol(":") {
      let index = try expression()
      guard isSymbol(":") else { return index }
      bounds[0] = index
    }
    for bound in 1...2 {
      guard skip(symbol: ":") else { break }
      if !isSymbol(":"), !isSymbol("]"), !isSymbol(",") { bounds[bound] = try expression() }
    }
    return try JinjaExpression(
      .slice(start: bounds[0], stop: bounds[1], step: bounds[2]), line: line, over: bounds.compactMap(\.self))
  }

  // MARK: Calls, filters, tests

  private mutating func call(of value: JinjaExpression) throws(JinjaError) -> JinjaExpression {
    let call = try arguments()
    return try JinjaExpression(.call(value, call), line: value.line, over: [value] + call.parts)
  }

  private mutating func arguments() throws(JinjaError) -> JinjaCall {
    try expect(symbol: "(")
    var call = JinjaCall()
    while !isSymbol(")") {
      if skip(symbol: "*") {
        guard call.unpackedList == nil, call.unpackedDict == nil else { throw wrong("one *list at most") }
        call.unpackedList = try expression()
      } else if skip(symbol: "**") {
        guard call.unpackedDict == nil else { throw wrong("one **dict at most") }
        call.unpackedDict = try expression()
      } else if case .name(let name) = current.kind, next.kind == .symbol("=") {
        take()
        take()
        call.named.append((name, try expression()))
      } else {
        guard call.named.isEmpty, call.unpackedList == nil, call.unpackedDict == nil else {
          throw wrong("name=value behind the first of these")
        }
        call.positional.append(try expression())
      }
      guard skip(symbol: ",") else { break }
    }
    try expect(symbol: ")")
    return call
  }

  private mutating func filter(of value: JinjaExpression?) throws(JinjaError) -> JinjaExpression {
    let line = current.line
    let name = try expectName()
    let call = isSymbol("(") ? try arguments() : JinjaCall()
    guard JinjaFilter(rawValue: name) != nil else {
      let supported = JinjaFilter.allCases.map(\.rawValue).joined(separator: ", ")
      throw JinjaError.unsupported("the filter '\(name)'", supported: supported).at(line)
    }
    return try JinjaExpression(.filter(value, name, call), line: line, over: (value.map { [$0] } ?? []) + call.parts)
  }

  /// The filters of a block, whose text they get.
  mutating func blockFilter(isFirst: Bool) throws(JinjaError) -> JinjaExpression {
    if !isFirst { try expect(symbol: "|") }
    var value = try filter(of: nil)
    while skip(symbol: "|") { value = try filter(of: value) }
    return value
  }

  private mutating func test(of value: JinjaExpression) throws(JinjaError) -> JinjaExpression {
    take()
    let line = current.line
    let isNegated = skip(name: "not")
    let name: String
    switch take().kind {
    case .name(let word): name = word
    default: throw JinjaError("expected the name of a test behind 'is'", line: line)
    }
    guard JinjaTest(rawValue: name) != nil else {
      let supported = JinjaTest.allCases.map(\.rawValue).joined(separator: ", ")
      throw JinjaError.unsupported("the test '\(name)'", supported: supported).at(line)
    }
    var call = JinjaCall()
    switch current.kind {
    case .symbol("("): call = try arguments()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"): throw JinjaError("tests can't be chained with is", line: line)
    case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
      call.positional = [try postfix(try primary())]
    default: break
    }
    let test = try JinjaExpression(.test(value, name, call), line: line, over: [value] + call.parts)
    return isNegated ? try JinjaExpression(.not(test), line: line, over: [test]) : test
  }
}
