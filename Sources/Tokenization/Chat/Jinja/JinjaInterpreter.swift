/// Runs a template's statements. Expressions are in `JinjaInterpreter+Expressions.swift`.
final class JinjaInterpreter {
  /// What a template gives: its text, and which parts of it `{% generation %}` marks, in code points.
  struct Result {
    var text: JinjaText = []
    var generated: [Range<Int>] = []
  }

  private enum Flow { case on, leaveLoop, nextRound }

  let budget = JinjaBudget()
  var scope = JinjaScope(parent: nil)
  /// Text that is being made: the template's own, and above it those of blocks and macros.
  private var outputs: [JinjaText] = [[]]
  private var generated: [Range<Int>] = []
  /// Whatever may hold itself, to be taken apart at the end.
  private var scopes: [JinjaScope] = []
  private var namespaces: [JinjaNamespace] = []

  /// Seconds since 1970, for `strftime_now`; without it, that function isn't defined.
  let time: Int?

  private init(time: Int?) { self.time = time }

  static func run(
    _ body: [JinjaStatement], variables: [String: JinjaValue], time: Int?
  ) throws(JinjaError) -> Result {
    let interpreter = JinjaInterpreter(time: time)
    defer { interpreter.takeApart() }
    interpreter.scope.values = variables
    if time != nil { interpreter.scope.values["strftime_now"] = .function("strftime_now", of: nil) }
    interpreter.scope = JinjaScope(parent: interpreter.scope)
    _ = try interpreter.run(body)
    return Result(text: interpreter.outputs[0], generated: interpreter.generated)
  }

  private func takeApart() {
    for scope in scopes { scope.values = [:] }
    for namespace in namespaces { namespace.values = JinjaDict() }
  }

  func makeNamespace() -> JinjaNamespace {
    let namespace = JinjaNamespace()
    namespaces.append(namespace)
    return namespace
  }

  // MARK: Statements

  private func run(_ body: [JinjaStatement]) throws(JinjaError) -> Flow {
    for statement in body {
      let flow: Flow
      do {
        try budget.enter()
        defer { budget.leave() }
        flow = try run(statement.form)
      } catch {
        throw error.at(statement.line)
      }
      if flow != .on { return flow }
    }
    return .on
  }

  private func run(_ statement: JinjaStatement.Form) throws(JinjaError) -> Flow {
    switch statement {
    case .text(let text): try emit(text)
    case .output(let expression): try emit(try JinjaPrinter.print(try evaluate(expression), budget))
    case .condition(let branches, let otherwise):
      for (test, body) in branches where try evaluate(test).isTrue { return try run(body) }
      return try run(otherwise)
    case .loop(let loop): return try run(loop)
    case .assignment(let target, let value): try assign(try evaluate(value), to: target)
    case .blockAssignment(let target, let filter, let body):
      var value = JinjaValue.text(try inScope { () throws(JinjaError) in try self.capture(body) })
      if let filter { value = try evaluate(filter, of: value) }
      try assign(value, to: target)
    case .macro(let syntax):
      scopes.append(scope)
      scope.values[syntax.name] = .macro(JinjaMacro(syntax, scope))
    case .callBlock(let expression, let syntax):
      guard case .call(let callee, let call) = expression.form else { break }
      scopes.append(scope)
      let caller = JinjaValue.macro(JinjaMacro(syntax, scope))
      let function = try evaluate(callee)
      var arguments = try evaluate(call)
      arguments.named.append(("caller", caller))
      try emit(try JinjaPrinter.print(try self.call(function, arguments), budget))
    case .filterBlock(let filter, let body):
      let text = try inScope { () throws(JinjaError) in try self.capture(body) }
      try emit(try JinjaPrinter.print(try evaluate(filter, of: .text(text)), budget))
    case .with(let bindings, let body):
      var values: [JinjaValue] = []
      for (_, value) in bindings { values.append(try evaluate(value)) }
      return try inScope { () throws(JinjaError) in
        for (binding, value) in zip(bindings, values) { try self.assign(value, to: binding.0) }
        return try self.run(body)
      }
    case .generation(let body):
      let start = outputs[0].count
      let isOwnText = outputs.count == 1
      _ = try inScope { () throws(JinjaError) in try self.run(body) }
      if isOwnText, outputs[0].count > start { generated.append(start..<outputs[0].count) }
    case .leaveLoop: return .leaveLoop
    case .nextRound: return .nextRound
    }
    return .on
  }

  private func emit(_ text: JinjaText) throws(JinjaError) {
    try budget.spend(text.count)
    outputs[outputs.count - 1] += text
  }

  /// The text of statements, kept from the output.
  private func capture(_ body: [JinjaStatement]) throws(JinjaError) -> JinjaText {
    outputs.append([])
    do {
      _ = try run(body)
    } catch {
      outputs.removeLast()
      throw error
    }
    return outputs.removeLast()
  }

  private func inScope<T>(
    of parent: JinjaScope? = nil, _ part: () throws(JinjaError) -> T
  ) throws(JinjaError) -> T {
    let outside = scope
    scope = JinjaScope(parent: parent ?? outside)
    defer { scope = outside }
    return try part()
  }

  // MARK: Loops

  private func run(_ loop: JinjaLoopSyntax) throws(JinjaError) -> Flow {
    var items = try elements(try evaluate(loop.sequence))
    if let filter = loop.filter {
      var kept: [JinjaValue] = []
      for item in items {
        let isKept = try inScope { () throws(JinjaError) in
          try self.assign(item, to: loop.target)
          return try self.evaluate(filter).isTrue
        }
        if isKept { kept.append(item) }
      }
      items = kept
    }
    guard !items.isEmpty else { return try inScope { () throws(JinjaError) in try self.run(loop.otherwise) } }
    let state = makeNamespace()
    for (index, item) in items.enumerated() {
      try describe(index, of: items, in: state)
      let flow = try inScope { () throws(JinjaError) in
        self.scope.values["loop"] = .namespace(state)
        try self.assign(item, to: loop.target)
        return try self.run(loop.body)
      }
      if flow == .leaveLoop { break }
    }
    return .on
  }

  /// Fills in `loop`.
  private func describe(_ index: Int, of items: [JinjaValue], in state: JinjaNamespace) throws(JinjaError) {
    // `loop` is made anew in each round, and a round of nothing costs that.
    try budget.spend(items: 4)
    func set(_ name: String, _ value: JinjaValue) throws(JinjaError) { try state.values.set(.string(name), value) }
    let count = items.count
    try set("index", .integer(index + 1))
    try set("index0", .integer(index))
    try set("revindex", .integer(count - index))
    try set("revindex0", .integer(count - index - 1))
    try set("first", .bool(index == 0))
    try set("last", .bool(index == count - 1))
    try set("length", .integer(count))
    try set("depth", .integer(1))
    try set("depth0", .integer(0))
    try set("previtem", index > 0 ? items[index - 1] : .undefined("loop.previtem"))
    try set("nextitem", index + 1 < count ? items[index + 1] : .undefined("loop.nextitem"))
    try set("cycle", .function("cycle", of: .integer(index)))
  }

  /// What a loop over a value goes through.
  func elements(_ value: JinjaValue) throws(JinjaError) -> [JinjaValue] {
    switch value {
    case .undefined: return []
    case .text(let text):
      try budget.spend(items: text.count)
      return text.map { .text([$0]) }
    case .list(let list):
      try budget.spend(list.items.count)
      return list.items
    case .dict(let dict):
      try budget.spend(dict.keys.count)
      return dict.keys
    default: throw JinjaError("\(value.kind) can't be gone through; expected a list, a mapping or a string")
    }
  }

  func assign(_ value: JinjaValue, to target: JinjaTarget) throws(JinjaError) {
    switch target {
    case .name(let name): scope.values[name] = value
    case .namespace(let name, let attribute):
      guard case .namespace(let namespace) = scope.find(name) ?? .undefined(name) else {
        throw JinjaError("can't set \(name).\(attribute): \(name) is no namespace")
      }
      guard !attribute.hasPrefix("_") else { throw JinjaError("a namespace's names don't begin with _") }
      try namespace.values.set(.string(attribute), value)
    case .tuple(let targets):
      let values = try elements(value)
      guard values.count == targets.count else {
        throw JinjaError("found \(values.count) values for \(targets.count) names")
      }
      for (target, value) in zip(targets, values) { try assign(value, to: target) }
    }
  }

  // MARK: Macros

  func call(_ macro: JinjaMacro, _ arguments: JinjaArguments) throws(JinjaError) -> JinjaValue {
    let syntax = macro.syntax
    var named = arguments.named
    var caller: JinjaValue?
    if syntax.names.contains("caller"), let place = named.firstIndex(where: { $0.name == "caller" }) {
      caller = named.remove(at: place).value
    }
    let text = try inScope(of: macro.scope) { () throws(JinjaError) in
      for (index, parameter) in syntax.parameters.enumerated() {
        let value: JinjaValue
        if index < arguments.positional.count {
          value = arguments.positional[index]
        } else if let place = named.firstIndex(where: { $0.name == parameter.name }) {
          value = named.remove(at: place).value
        } else if let standard = parameter.standard {
          value = try self.evaluate(standard)
        } else {
          value = .undefined(parameter.name)
        }
        self.scope.values[parameter.name] = value
      }
      let more = Array(arguments.positional.dropFirst(syntax.parameters.count))
      if syntax.names.contains("varargs") {
        self.scope.values["varargs"] = .list(try JinjaList(more, isTuple: true))
      } else if !more.isEmpty {
        throw JinjaError(
          "\(syntax.name) takes \(syntax.parameters.count) arguments, found \(arguments.positional.count)")
      }
      if syntax.names.contains("kwargs") {
        var dict = JinjaDict()
        for (name, value) in named { try dict.set(.string(name), value) }
        self.scope.values["kwargs"] = .dict(dict)
      } else if let first = named.first {
        throw JinjaError("\(syntax.name) has no argument '\(first.name)'")
      }
      if syntax.names.contains("caller") { self.scope.values["caller"] = caller ?? .undefined("caller") }
      return try self.capture(syntax.body)
    }
    return .text(text)
  }
}

/// The values of a call's arguments.
struct JinjaArguments {
  var positional: [JinjaValue] = []
  var named: [(name: String, value: JinjaValue)] = []

  /// The values in the order of these names; nil where one isn't given.
  func bound(to names: [String], by what: String) throws(JinjaError) -> [JinjaValue?] {
    guard positional.count <= names.count else {
      throw JinjaError("\(what) takes \(names.count) arguments at most, found \(positional.count)")
    }
    var values: [JinjaValue?] = positional + Array(repeating: nil, count: names.count - positional.count)
    for (name, value) in named {
      guard let place = names.firstIndex(of: name) else { throw JinjaError("\(what) has no argument '\(name)'") }
      values[place] = value
    }
    return values
  }
}
