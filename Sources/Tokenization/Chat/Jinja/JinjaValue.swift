/// A value of a template, as Python has them. All but namespaces never change.
indirect enum JinjaValue {
  /// What wasn't there, and its name for messages.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(JinjaText)
  case list(JinjaList)
  case dict(JinjaDict)
  case namespace(JinjaNamespace)
  case macro(JinjaMacro)
  /// A method of a value, or a function that every template has.
  case function(String, of: JinjaValue?)
  case slice(start: JinjaValue, stop: JinjaValue, step: JinjaValue)

  /// Lists in one another at most: printing and freeing them needs the stack.
  static let deepest = 100

  var depth: Int {
    switch self {
    case .list(let list): list.depth
    case .dict(let dict): dict.depth
    case .function(_, let value?): value.depth
    default: 0
    }
  }

  static func string(_ string: String) -> JinjaValue { .text(JinjaText(string)) }

  var text: JinjaText? { if case .text(let text) = self { text } else { nil } }
  var isUndefined: Bool { if case .undefined = self { true } else { false } }
  var isNone: Bool { if case .none = self { true } else { false } }

  /// Booleans are numbers, too.
  var int: Int? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  var double: Double? {
    if case .number(let value) = self { return value }
    return int.map(Double.init)
  }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .text(let text): !text.isEmpty
    case .list(let list): !list.items.isEmpty
    case .dict(let dict): !dict.keys.isEmpty
    case .namespace, .macro, .function, .slice: true
    }
  }

  /// For messages.
  var kind: String {
    switch self {
    case .undefined(let name): "'\(name)', which is undefined,"
    case .none: "none"
    case .bool: "a boolean"
    case .integer, .number: "a number"
    case .text: "a string"
    case .list: "a list"
    case .dict: "a mapping"
    case .namespace: "a namespace"
    case .macro: "a macro"
    case .function: "a function"
    case .slice: "a slice"
    }
  }
}

/// A list or a tuple.
struct JinjaList {
  let items: [JinjaValue]
  let isTuple: Bool
  let depth: Int

  init(_ items: [JinjaValue], isTuple: Bool = false) throws(JinjaError) {
    self.items = items
    self.isTuple = isTuple
    depth = try depthAbove(items)
  }
}

/// A mapping in the order of its keys' arrival.
struct JinjaDict {
  private(set) var keys: [JinjaValue] = []
  private(set) var values: [JinjaValue] = []
  private(set) var depth = 1
  private var places: [JinjaKey: Int] = [:]

  subscript(key: JinjaValue) -> JinjaValue? { JinjaKey(key).flatMap { places[$0] }.map { values[$0] } }
  subscript(name: String) -> JinjaValue? { self[.string(name)] }

  mutating func set(_ key: JinjaValue, _ value: JinjaValue) throws(JinjaError) {
    guard let hashed = JinjaKey(key) else { throw JinjaError("\(key.kind) can't be a key of a mapping") }
    depth = max(depth, try depthAbove([value]))
    if let place = places[hashed] {
      values[place] = value
    } else {
      places[hashed] = keys.count
      keys.append(key)
      values.append(value)
    }
  }

  func pairs() throws(JinjaError) -> [JinjaValue] {
    var pairs: [JinjaValue] = []
    for (key, value) in zip(keys, values) { pairs.append(.list(try JinjaList([key, value], isTuple: true))) }
    return pairs
  }
}

private func depthAbove(_ values: [JinjaValue]) throws(JinjaError) -> Int {
  let depth = 1 + (values.lazy.map(\.depth).max() ?? 0)
  guard depth <= JinjaValue.deepest else {
    throw JinjaError("lists are more than \(JinjaValue.deepest) levels deep")
  }
  return depth
}

/// What may be a key: equal numbers of any kind are one key.
enum JinjaKey: Hashable {
  case none
  case number(Double)
  case integer(Int)
  case text(JinjaText)
  case tuple([JinjaKey])

  init?(_ value: JinjaValue) {
    switch value {
    case .none: self = .none
    case .bool, .integer: self = .integer(value.int ?? 0)
    case .number(let value): self = Int(exactly: value).map { .integer($0) } ?? .number(value)
    case .text(let text): self = .text(text)
    case .list(let list) where list.isTuple:
      let keys = list.items.compactMap { JinjaKey($0) }
      guard keys.count == list.items.count else { return nil }
      self = .tuple(keys)
    default: return nil
    }
  }
}

/// The one value that changes: what `{% set ns.x = … %}` writes to.
final class JinjaNamespace {
  var values = JinjaDict()
}

final class JinjaMacro {
  let syntax: JinjaMacroSyntax
  /// Where its free names are looked up when it is called.
  let scope: JinjaScope

  init(_ syntax: JinjaMacroSyntax, _ scope: JinjaScope) {
    self.syntax = syntax
    self.scope = scope
  }
}

/// Variables of a template, a round of a loop, or a call.
final class JinjaScope {
  var values: [String: JinjaValue] = [:]
  let parent: JinjaScope?

  init(parent: JinjaScope?) { self.parent = parent }

  func find(_ name: String) -> JinjaValue? {
    var scope: JinjaScope? = self
    while let here = scope {
      if let value = here.values[name] { return value }
      scope = here.parent
    }
    return nil
  }
}
