extension JinjaInterpreter {
  func evaluate(_ expression: JinjaExpression, of block: JinjaValue? = nil) throws(JinjaError) -> JinjaValue {
    do {
      try budget.enter()
      defer { budget.leave() }
      return try evaluate(expression.form, block)
    } catch {
      throw error.at(expression.line)
    }
  }

  private func evaluate(_ form: JinjaExpression.Form, _ block: JinjaValue?) throws(JinjaError) -> JinjaValue {
    switch form {
    case .constant(let constant): return constant.value
    case .name(let name):
      if let value = scope.find(name) { return value }
      return JinjaFunctions.globals.contains(name) ? .function(name, of: nil) : .undefined(name)
    case .list(let items): return .list(try JinjaList(try evaluate(items)))
    case .tuple(let items): return .list(try JinjaList(try evaluate(items), isTuple: true))
    case .dict(let pairs):
      var dict = JinjaDict()
      for (key, value) in pairs { try dict.set(try evaluate(key), try evaluate(value)) }
      return .dict(dict)
    case .attribute(let value, let name): return try attribute(name, of: try evaluate(value))
    case .item(let value, let index): return try item(try evaluate(index), of: try evaluate(value))
    case .slice(let start, let stop, let step):
      func bound(_ expression: JinjaExpression?) throws(JinjaError) -> JinjaValue {
        guard let expression else { return .none }
        return try evaluate(expression)
      }
      return .slice(start: try bound(start), stop: try bound(stop), step: try bound(step))
    case .call(let callee, let call): return try self.call(try evaluate(callee), try evaluate(call))
    case .filter(let value, let name, let call):
      let input = if let value { try evaluate(value, of: block) } else { block ?? .undefined("the block") }
      return try filter(input, name, try evaluate(call))
    case .test(let value, let name, let call):
      return .bool(try test(try evaluate(value), name, try evaluate(call)))
    case .binary(let a, let sign, let b):
      return try JinjaOperators.binary(sign, try evaluate(a), try evaluate(b), budget)
    case .concatenation(let parts):
      var text: JinjaText = []
      for part in parts {
        let piece = try JinjaPrinter.print(try evaluate(part), budget)
        try budget.spend(piece.count)
        text += piece
      }
      return .text(text)
    case .comparison(let first, let others):
      var left = try evaluate(first)
      for (sign, other) in others {
        let right = try evaluate(other)
        guard try JinjaOperators.compare(sign, left, right, budget) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .negative(let value):
      let value = try evaluate(value)
      if let int = value.int { return try JinjaOperators.binary("-", .integer(0), .integer(int), budget) }
      guard let double = value.double else { throw JinjaError("\(value.kind) can't be negative") }
      return .number(-double)
    case .positive(let value):
      let value = try evaluate(value)
      if let int = value.int { return .integer(int) }
      guard let double = value.double else { throw JinjaError("\(value.kind) is no number") }
      return .number(double)
    case .not(let value): return .bool(try !evaluate(value).isTrue)
    case .and(let a, let b):
      let left = try evaluate(a)
      return left.isTrue ? try evaluate(b) : left
    case .or(let a, let b):
      let left = try evaluate(a)
      return left.isTrue ? left : try evaluate(b)
    case .condition(let test, let then, let otherwise):
      if try evaluate(test).isTrue { return try evaluate(then) }
      guard let otherwise else { return .undefined("the value of an if without else") }
      return try evaluate(otherwise)
    }
  }

  private func evaluate(_ expressions: [JinjaExpression]) throws(JinjaError) -> [JinjaValue] {
    try budget.spend(items: expressions.count)
    var values: [JinjaValue] = []
    for expression in expressions { values.append(try evaluate(expression)) }
    return values
  }

  func evaluate(_ call: JinjaCall) throws(JinjaError) -> JinjaArguments {
    var arguments = JinjaArguments(positional: try evaluate(call.positional))
    for (name, value) in call.named { arguments.named.append((name, try evaluate(value))) }
    if let list = call.unpackedList { arguments.positional += try elements(try evaluate(list)) }
    if let unpacked = call.unpackedDict {
      guard case .dict(let dict) = try evaluate(unpacked) else { throw JinjaError("expected a mapping behind **") }
      for (key, value) in zip(dict.keys, dict.values) { arguments.named.append(((key.text ?? []).string, value)) }
    }
    return arguments
  }

  // MARK: Parts of values

  /// `value.name`: a method, else an item.
  func attribute(_ name: String, of value: JinjaValue) throws(JinjaError) -> JinjaValue {
    if case .undefined(let missing) = value { throw JinjaError("'\(missing)' is undefined; it has no \(name)") }
    if case .namespace(let namespace) = value { return namespace.values[name] ?? .undefined(name) }
    if JinjaFunctions.isMethod(name, of: value) { return .function(name, of: value) }
    if case .dict(let dict) = value, let item = dict[name] { return item }
    return .undefined(name)
  }

  /// `value[index]`: an item, else a method.
  func item(_ index: JinjaValue, of value: JinjaValue) throws(JinjaError) -> JinjaValue {
    if case .slice(let start, let stop, let step) = index {
      switch value {
      case .text(let text):
        let places = try JinjaOperators.places((start, stop, step), count: text.count)
        try budget.spend(places.count)
        return .text(places.map { text[$0] })
      case .list(let list):
        let places = try JinjaOperators.places((start, stop, step), count: list.items.count)
        try budget.spend(items: places.count)
        return .list(try JinjaList(places.map { list.items[$0] }, isTuple: list.isTuple))
      case .undefined(let name): throw JinjaError("'\(name)' is undefined; it has no parts")
      default: throw JinjaError("\(value.kind) has no parts")
      }
    }
    func place(in count: Int) -> Int? {
      guard let index = index.int, index < count, index >= -count else { return nil }
      return index < 0 ? index + count : index
    }
    switch value {
    case .undefined(let name): throw JinjaError("'\(name)' is undefined; it has no items")
    case .text(let text):
      if let place = place(in: text.count) { return .text([text[place]]) }
    case .list(let list):
      if let place = place(in: list.items.count) { return list.items[place] }
    case .dict(let dict):
      if let item = dict[index] { return item }
    case .namespace(let namespace):
      return namespace.values[index] ?? .undefined((index.text ?? []).string)
    default: break
    }
    guard let name = index.text?.string else { return .undefined("an item of \(value.kind)") }
    return JinjaFunctions.isMethod(name, of: value) ? .function(name, of: value) : .undefined(name)
  }

  func call(_ callee: JinjaValue, _ arguments: JinjaArguments) throws(JinjaError) -> JinjaValue {
    switch callee {
    case .macro(let macro): return try call(macro, arguments)
    case .function(let name, nil): return try callGlobal(name, arguments)
    case .function(let name, let value?): return try callMethod(name, of: value, arguments)
    case .undefined(let name): throw JinjaError("'\(name)' is undefined (or may not be called); it can't be called")
    default: throw JinjaError("\(callee.kind) can't be called")
    }
  }
}
