import Formats

/// How values become text: as Python's `str` and `repr` write them, and as JSON.
struct JinjaPrinter {
  private(set) var text: JinjaText = []
  private let budget: JinjaBudget

  /// A value as `{{ }}` prints it.
  static func print(_ value: JinjaValue, _ budget: JinjaBudget) throws(JinjaError) -> JinjaText {
    switch value {
    case .text(let text): return text
    case .undefined: return []
    default:
      var printer = JinjaPrinter(budget)
      try printer.write(value)
      return printer.text
    }
  }

  init(_ budget: JinjaBudget) { self.budget = budget }

  private mutating func add(_ string: String) throws(JinjaError) {
    text += string.unicodeScalars
    try budget.spend(string.unicodeScalars.count)
  }

  // MARK: Python

  mutating func write(_ value: JinjaValue) throws(JinjaError) {
    switch value {
    case .undefined: try add("Undefined")
    case .none: try add("None")
    case .bool(let value): try add(value ? "True" : "False")
    case .integer(let value): try add("\(value)")
    case .number(let value): try add("\(value)")
    case .text(let string): try writeQuoted(string)
    case .list(let list):
      try add(list.isTuple ? "(" : "[")
      for (index, item) in list.items.enumerated() {
        if index > 0 { try add(", ") }
        try write(item)
      }
      try add(list.isTuple ? list.items.count == 1 ? ",)" : ")" : "]")
    case .dict(let dict):
      try add("{")
      for (index, key) in dict.keys.enumerated() {
        if index > 0 { try add(", ") }
        try write(key)
        try add(": ")
        try write(dict.values[index])
      }
      try add("}")
    case .namespace: try add("<Namespace>")
    case .macro(let macro): try add("<Macro '\(macro.syntax.name)'>")
    case .function(let name, _): try add("<function \(name)>")
    case .slice: try add("slice")
    }
  }

  private mutating func writeQuoted(_ string: JinjaText) throws(JinjaError) {
    let quote: Unicode.Scalar = string.contains("'") && !string.contains("\"") ? "\"" : "'"
    try budget.spend(string.count)
    text.append(quote)
    for scalar in string {
      switch scalar {
      case quote, "\\": text += ["\\", scalar]
      case "\n": text += ["\\", "n"]
      case "\r": text += ["\\", "r"]
      case "\t": text += ["\\", "t"]
      case _ where isPrintable(scalar): text.append(scalar)
      default:
        let width = scalar.value < 0x100 ? 2 : scalar.value < 0x10000 ? 4 : 8
        text += JinjaText("\\" + (width == 2 ? "x" : width == 4 ? "u" : "U") + hexadecimal(scalar.value, width))
      }
    }
    text.append(quote)
  }

  private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
  }

  // MARK: JSON

  struct JSONStyle {
    /// Of one level; nil: all on one line.
    var indentation: JinjaText?
    var itemSeparator = ", "
    var keySeparator = ": "
    var isASCII = false
    var sortsKeys = false
  }

  mutating func writeJSON(_ value: JinjaValue, _ style: JSONStyle, level: Int = 0) throws(JinjaError) {
    switch value {
    case .none: try add("null")
    case .bool(let value): try add(value ? "true" : "false")
    case .number(let value) where !value.isFinite: try add(value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity")
    case .integer, .number: try write(value)
    case .text(let string): try writeJSONString(string, style)
    case .list(let list):
      try writeJSON(count: list.items.count, "[", "]", style, level) { printer, index throws(JinjaError) in
        try printer.writeJSON(list.items[index], style, level: level + 1)
      }
    case .dict(let dict):
      var members: [(key: JinjaText, value: JinjaValue)] = []
      for (key, value) in zip(dict.keys, dict.values) { members.append((try jsonKey(key), value)) }
      if style.sortsKeys { members.sort { $0.key.lexicographicallyPrecedes($1.key) } }
      try writeJSON(count: members.count, "{", "}", style, level) { printer, index throws(JinjaError) in
        try printer.writeJSONString(members[index].key, style)
        try printer.add(style.keySeparator)
        try printer.writeJSON(members[index].value, style, level: level + 1)
      }
    default: throw JinjaError("\(value.kind) has no form in JSON")
    }
  }

  private func jsonKey(_ key: JinjaValue) throws(JinjaError) -> JinjaText {
    if case .text(let text) = key { return text }
    var printer = JinjaPrinter(budget)
    try printer.writeJSON(key, JSONStyle())
    return printer.text
  }

  private mutating func writeJSON(
    count: Int, _ open: String, _ close: String, _ style: JSONStyle, _ level: Int,
    _ element: (inout JinjaPrinter, Int) throws(JinjaError) -> Void
  ) throws(JinjaError) {
    try add(open)
    for index in 0..<count {
      if index > 0 { try add(style.itemSeparator) }
      try newLine(style, level + 1)
      try element(&self, index)
    }
    if count > 0 { try newLine(style, level) }
    try add(close)
  }

  private mutating func newLine(_ style: JSONStyle, _ level: Int) throws(JinjaError) {
    guard let indentation = style.indentation else { return }
    try budget.spend(1 + indentation.count * level)
    text.append("\n")
    for _ in 0..<level { text += indentation }
  }

  private mutating func writeJSONString(_ string: JinjaText, _ style: JSONStyle) throws(JinjaError) {
    try budget.spend(string.count)
    text.append("\"")
    for scalar in string {
      switch scalar {
      case "\"", "\\": text += ["\\", scalar]
      case "\n": text += ["\\", "n"]
      case "\r": text += ["\\", "r"]
      case "\t": text += ["\\", "t"]
      case "\u{08}": text += ["\\", "b"]
      case "\u{0C}": text += ["\\", "f"]
      case _ where scalar.value < 0x20 || style.isASCII && scalar.value >= 0x7F && scalar.value != 0x7F:
        for unit in String(scalar).utf16 { text += JinjaText("\\u" + hexadecimal(UInt32(unit), 4)) }
      default: text.append(scalar)
      }
    }
    text.append("\"")
  }

  private func hexadecimal(_ value: UInt32, _ width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}

extension JinjaValue {
  init(_ json: JSON) throws(JinjaError) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(Int(value))
    case .number(let value): self = .number(value)
    case .string(let string): self = .string(string)
    case .array(let values):
      var items: [JinjaValue] = []
      for value in values { items.append(try JinjaValue(value)) }
      self = .list(try JinjaList(items))
    case .object(let object):
      var dict = JinjaDict()
      for (key, value) in object { try dict.set(.string(key), try JinjaValue(value)) }
      self = .dict(dict)
    }
  }
}
