/// Reads the statements of a template; expressions are in `JinjaParser+Expressions.swift`.
struct JinjaParser {
  private let tokens: [JinjaToken]
  private var place = 0
  /// Of tags and brackets in one another.
  private var nesting = 0
  var names: Set<String> = []
  private var loops = 0
  private(set) var hasGeneration = false

  private static let deepest = 100

  /// A template's statements, and whether `{% generation %}` marks what is learned.
  static func parse(_ template: String) throws(JinjaError) -> (body: [JinjaStatement], hasGeneration: Bool) {
    var parser = JinjaParser(tokens: try JinjaLexer.tokens(of: template))
    let body: [JinjaStatement]
    do {
      body = try parser.statements(until: [])
    } catch {
      throw error.at(parser.current.line)
    }
    return (body, parser.hasGeneration)
  }

  private init(tokens: [JinjaToken]) { self.tokens = tokens }

  // MARK: Tokens

  var current: JinjaToken { tokens[place] }
  var next: JinjaToken { tokens[min(place + 1, tokens.count - 1)] }

  @discardableResult
  mutating func take() -> JinjaToken {
    defer { if place + 1 < tokens.count { place += 1 } }
    return tokens[place]
  }

  func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }
  func isName(_ name: String) -> Bool { current.kind == .name(name) }

  mutating func skip(symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    take()
    return true
  }

  mutating func skip(name: String) -> Bool {
    guard isName(name) else { return false }
    take()
    return true
  }

  mutating func expect(symbol: String) throws(JinjaError) {
    guard skip(symbol: symbol) else { throw wrong("'\(symbol)'") }
  }

  mutating func expect(name: String) throws(JinjaError) {
    guard skip(name: name) else { throw wrong("'\(name)'") }
  }

  mutating func expect(_ kind: JinjaToken.Kind, _ expected: String) throws(JinjaError) {
    guard current.kind == kind else { throw wrong(expected) }
    take()
  }

  mutating func expectName() throws(JinjaError) -> String {
    guard case .name(let name) = current.kind else { throw wrong("a name") }
    take()
    return name
  }

  func wrong(_ expected: String) -> JinjaError {
    JinjaError("found \(current.found), expected \(expected)", line: current.line)
  }

  /// Runs a part one level deeper.
  mutating func nested<T>(_ part: (inout JinjaParser) throws(JinjaError) -> T) throws(JinjaError) -> T {
    nesting += 1
    defer { nesting -= 1 }
    guard nesting <= Self.deepest else {
      throw JinjaError("tags or brackets are more than \(Self.deepest) levels deep", line: current.line)
    }
    return try part(&self)
  }

  // MARK: Statements

  /// Statements up to a tag of one of these names, which is then current.
  private mutating func statements(until ends: [String]) throws(JinjaError) -> [JinjaStatement] {
    try nested { parser throws(JinjaError) in
      var body: [JinjaStatement] = []
      while true {
        let line = parser.current.line
        switch parser.current.kind {
        case .data(let text):
          parser.take()
          body.append(JinjaStatement(form: .text(text), line: line))
        case .variableBegin:
          parser.take()
          body.append(JinjaStatement(form: .output(try parser.tuple()), line: line))
          try parser.expect(.variableEnd, "}}")
        case .blockBegin:
          parser.take()
          if case .name(let name) = parser.current.kind, ends.contains(name) { return body }
          body.append(JinjaStatement(form: try parser.statement(), line: line))
          try parser.expect(.blockEnd, "%}")
        default:
          guard ends.isEmpty, parser.current.kind == .end else {
            throw parser.wrong(ends.map { "{% \($0) %}" }.joined(separator: " or "))
          }
          return body
        }
      }
    }
  }

  /// The body of a tag whose words end here, up to and with one of the names.
  private mutating func body(until ends: String...) throws(JinjaError) -> (body: [JinjaStatement], end: String) {
    _ = skip(symbol: ":")
    try expect(.blockEnd, "%}")
    let body = try statements(until: ends)
    return (body, try expectName())
  }

  private mutating func statement() throws(JinjaError) -> JinjaStatement.Form {
    let line = current.line
    let name = try expectName()
    switch name {
    case "if": return try condition()
    case "for": return try loop()
    case "set": return try assignment()
    case "macro":
      let name = try expectName()
      return .macro(try macro(named: name, hasSignature: true, end: "endmacro"))
    case "call": return try callBlock()
    case "filter":
      let filter = try blockFilter(isFirst: true)
      return .filterBlock(filter, try body(until: "endfilter").body)
    case "with": return try with()
    case "generation":
      hasGeneration = true
      let outside = loops
      loops = 0
      defer { loops = outside }
      return .generation(try body(until: "endgeneration").body)
    case "print":
      return .output(try tuple())
    case "break", "continue":
      guard loops > 0 else { throw JinjaError("found {% \(name) %} outside of a loop", line: line) }
      return name == "break" ? .leaveLoop : .nextRound
    default:
      throw JinjaError.unsupported(
        "the tag {% \(name) %}",
        supported: "if, for, set, macro, call, filter, with, print, break, continue, raw, generation"
      ).at(line)
    }
  }

  private mutating func condition() throws(JinjaError) -> JinjaStatement.Form {
    var branches: [(test: JinjaExpression, body: [JinjaStatement])] = []
    while true {
      let test = try tuple(withCondition: false)
      let (body, end) = try body(until: "elif", "else", "endif")
      branches.append((test, body))
      switch end {
      case "elif": continue
      case "else": return .condition(branches, otherwise: try self.body(until: "endif").body)
      default: return .condition(branches, otherwise: [])
      }
    }
  }

  private mutating func loop() throws(JinjaError) -> JinjaStatement.Form {
    let target = try target(withNamespace: false, end: "in")
    try expect(name: "in")
    let sequence = try tuple(withCondition: false, end: "recursive")
    let filter: JinjaExpression? = skip(name: "if") ? try expression() : nil
    if isName("recursive") { throw JinjaError.unsupported("a recursive loop", supported: "loops in one another") }
    loops += 1
    let (body, end) = try body(until: "endfor", "else")
    loops -= 1
    let otherwise = end == "else" ? try self.body(until: "endfor").body : []
    return .loop(
      JinjaLoopSyntax(target: target, sequence: sequence, filter: filter, body: body, otherwise: otherwise))
  }

  private mutating func assignment() throws(JinjaError) -> JinjaStatement.Form {
    let target = try target(withNamespace: true)
    if skip(symbol: "=") { return .assignment(target, try tuple()) }
    let filter: JinjaExpression? = isSymbol("|") ? try blockFilter(isFirst: false) : nil
    return .blockAssignment(target, filter: filter, try body(until: "endset").body)
  }

  private mutating func with() throws(JinjaError) -> JinjaStatement.Form {
    var bindings: [(JinjaTarget, JinjaExpression)] = []
    while current.kind != .blockEnd {
      if !bindings.isEmpty { try expect(symbol: ",") }
      let target = try target(withNamespace: false)
      try expect(symbol: "=")
      bindings.append((target, try expression()))
    }
    return .with(bindings, try body(until: "endwith").body)
  }

  private mutating func callBlock() throws(JinjaError) -> JinjaStatement.Form {
    let parameters = isSymbol("(") ? try signature() : []
    let call = try expression()
    guard case .call = call.form else { throw JinjaError("expected a call behind {% call %}", line: call.line) }
    return .callBlock(call, try macro(named: "caller", parameters: parameters, end: "endcall"))
  }

  private mutating func macro(named name: String, hasSignature: Bool, end: String) throws(JinjaError)
    -> JinjaMacroSyntax
  { try macro(named: name, parameters: try signature(), end: end) }

  private mutating func macro(
    named name: String, parameters: [(name: String, standard: JinjaExpression?)], end: String
  ) throws(JinjaError) -> JinjaMacroSyntax {
    let (outside, outsideLoops) = (names, loops)
    (names, loops) = ([], 0)
    let body = try body(until: end).body
    let inside = names
    (names, loops) = (outside.union(inside), outsideLoops)
    return JinjaMacroSyntax(name: name, parameters: parameters, body: body, names: inside)
  }

  private mutating func signature() throws(JinjaError) -> [(name: String, standard: JinjaExpression?)] {
    try expect(symbol: "(")
    var parameters: [(name: String, standard: JinjaExpression?)] = []
    while !isSymbol(")") {
      if !parameters.isEmpty { try expect(symbol: ",") }
      let name = try expectName()
      if skip(symbol: "=") {
        parameters.append((name, try expression()))
      } else {
        guard parameters.last?.standard == nil else {
          throw JinjaError("a parameter without a default follows one that has one", line: current.line)
        }
        parameters.append((name, nil))
      }
    }
    try expect(symbol: ")")
    return parameters
  }

  private mutating func target(withNamespace: Bool, end: String? = nil) throws(JinjaError) -> JinjaTarget {
    var targets: [JinjaTarget] = []
    var isTuple = false
    while true {
      if isTuple, isSymbol("=") || current.kind == .blockEnd || end.map(isName) ?? false { break }
      targets.append(try singleTarget(withNamespace))
      guard skip(symbol: ",") else { break }
      isTuple = true
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func singleTarget(_ withNamespace: Bool) throws(JinjaError) -> JinjaTarget {
    if skip(symbol: "(") {
      let inner = try nested { parser throws(JinjaError) in
        try parser.target(withNamespace: withNamespace, end: nil)
      }
      try expect(symbol: ")")
      return inner
    }
    let name = try expectName()
    guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
      throw JinjaError("can't assign to \(name)", line: current.line)
    }
    if withNamespace, skip(symbol: ".") { return .namespace(name, attribute: try expectName()) }
    return .name(name)
  }
}
