/// What can stand behind `|`.
enum JinjaFilter: String, CaseIterable {
  case abs, attr, batch, capitalize, count, d, `default`, dictsort, e, escape, first, float, indent, int, items, join
  case last, length, list, lower, map, max, min, reject, rejectattr, replace, reverse, round, safe, select, selectattr
  case sort, string, sum, title, tojson, trim, unique, upper, wordcount
}

extension JinjaInterpreter {
  func filter(_ value: JinjaValue, _ name: String, _ arguments: JinjaArguments) throws(JinjaError) -> JinjaValue {
    guard let filter = JinjaFilter(rawValue: name) else {
      throw .unsupported(
        "the filter '\(name)'", supported: JinjaFilter.allCases.map(\.rawValue).joined(separator: ", "))
    }
    func given(_ names: String...) throws(JinjaError) -> [JinjaValue?] {
      try arguments.bound(to: names, by: "the filter '\(name)'")
    }
    func text() throws(JinjaError) -> JinjaText {
      let text = try JinjaPrinter.print(value, budget)
      try budget.spend(text.count)
      return text
    }
    switch filter {
    // Texts
    case .capitalize: return .text(try text().capitalized)
    case .lower: return .text(try text().lowercased)
    case .upper: return .text(try text().uppercased)
    case .title: return .text(try text().titledByFilter)
    case .string, .safe: return .text(try text())
    case .trim: return .text(try text().stripped(try given("chars")[0]?.text))
    case .escape, .e: return .text(try escaped(try text()))
    case .replace:
      let parts = try given("old", "new", "count")
      return try replace(
        try text(), try JinjaPrinter.print(parts[0] ?? .none, budget),
        try JinjaPrinter.print(parts[1] ?? .none, budget),
        parts[2]?.int.flatMap { $0 < 0 ? nil : $0 })
    case .indent: return .text(try indented(value, try given("width", "first", "blank")))
    case .wordcount:
      let words = try text().map { $0.isWordCharacter ? $0 : " " } as JinjaText
      return .integer(words.split(by: nil, limit: nil).count)
    case .tojson: return .text(try json(value, arguments))

    // Numbers
    case .abs:
      if let int = value.int, int != .min { return .integer(Swift.abs(int)) }
      guard let double = value.double else { throw JinjaError("abs: found \(value.kind), expected a number") }
      return .number(Swift.abs(double))
    case .int: return .integer(try whole(value, try given("default", "base")))
    case .float:
      let number = value.double ?? value.text.flatMap { Double($0.stripped().string) }
      let standard = try given("default")[0] ?? .number(0)
      return number.map { .number($0) } ?? standard
    case .round: return try rounded(value, try given("precision", "method"))

    // Any
    case .default, .d:
      let parts = try given("default_value", "boolean")
      let isMissing = value.isUndefined || (parts[1]?.isTrue ?? false) && !value.isTrue
      return isMissing ? parts[0] ?? .text([]) : value
    case .length, .count:
      switch value {
      case .undefined: return .integer(0)
      case .text(let text): return .integer(text.count)
      case .list(let list): return .integer(list.items.count)
      case .dict(let dict): return .integer(dict.keys.count)
      default: throw JinjaError("\(value.kind) has no length")
      }
    case .attr:
      guard let name = try given("name")[0]?.text?.string else { throw JinjaError("attr: expected a name") }
      guard case .namespace = value else { return .undefined(name) }
      return try attribute(name, of: value)
    default: return try filterSequence(value, filter, arguments)
    }
  }

  private func escaped(_ text: JinjaText) throws(JinjaError) -> JinjaText {
    var result: JinjaText = []
    for scalar in text {
      switch scalar {
      case "&": result += JinjaText("&amp;")
      case "<": result += JinjaText("&lt;")
      case ">": result += JinjaText("&gt;")
      case "'": result += JinjaText("&#39;")
      case "\"": result += JinjaText("&#34;")
      default: result.append(scalar)
      }
    }
    try budget.spend(result.count)
    return result
  }

  private func indentation(_ value: JinjaValue?) throws(JinjaError) -> JinjaText {
    if let text = value?.text { return text }
    let width = max(0, value?.int ?? 4)
    try budget.spend(width)
    return Array(repeatElement(" ", count: width))
  }

  private func indented(_ value: JinjaValue, _ given: [JinjaValue?]) throws(JinjaError) -> JinjaText {
    guard let text = value.text else { throw JinjaError("indent: found \(value.kind), expected a string") }
    let indentation = try indentation(given[0])
    let lines = (text + ["\n"]).lines
    var result: JinjaText = given[1]?.isTrue ?? false ? indentation : []
    for (index, line) in lines.enumerated() {
      try budget.spend(line.count + indentation.count + 1)
      if index > 0 {
        result.append("\n")
        if !line.isEmpty || given[2]?.isTrue ?? false { result += indentation }
      }
      result += line
    }
    return result
  }

  private func json(_ value: JinjaValue, _ arguments: JinjaArguments) throws(JinjaError) -> JinjaText {
    let given = try arguments.bound(to: ["ensure_ascii", "indent", "separators", "sort_keys"], by: "tojson")
    var style = JinjaPrinter.JSONStyle()
    style.isASCII = given[0]?.isTrue ?? false
    if let indent = given[1], !indent.isNone {
      style.indentation = try indentation(indent)
      style.itemSeparator = ","
    }
    if case .list(let pair)? = given[2], pair.items.count == 2 {
      style.itemSeparator = (pair.items[0].text ?? []).string
      style.keySeparator = (pair.items[1].text ?? []).string
    }
    style.sortsKeys = given[3]?.isTrue ?? false
    var printer = JinjaPrinter(budget)
    try printer.writeJSON(value, style)
    return printer.text
  }

  private func whole(_ value: JinjaValue, _ given: [JinjaValue?]) throws(JinjaError) -> Int {
    if let int = value.int { return int }
    let base = given[1]?.int ?? 10
    if let text = value.text?.stripped().filter({ $0 != "_" }), (2...36).contains(base),
      let int = Int(text.string, radix: base)
    {
      return int
    }
    let number = value.double ?? value.text.flatMap { Double($0.stripped().string) }
    if case .undefined(let name) = value { throw JinjaError("'\(name)' is undefined; it is no number") }
    return number.flatMap { Int(exactly: $0.rounded(.towardZero)) } ?? given[0]?.int ?? 0
  }

  private func rounded(_ value: JinjaValue, _ given: [JinjaValue?]) throws(JinjaError) -> JinjaValue {
    guard let number = value.double else { throw JinjaError("round: found \(value.kind), expected a number") }
    let digits = given[0]?.int ?? 0
    guard (-15...15).contains(digits) else { throw JinjaError("round: expected -15 to 15 digits, found \(digits)") }
    var factor = 1.0
    for _ in 0..<Swift.abs(digits) { factor *= 10 }
    if digits < 0 { factor = 1 / factor }
    let rule: FloatingPointRoundingRule =
      switch given[1]?.text?.string ?? "common" {
      case "ceil": .up
      case "floor": .down
      default: .toNearestOrEven
      }
    if case .integer(let int) = value, digits >= 0, rule == .toNearestOrEven { return .integer(int) }
    return .number((number * factor).rounded(rule) / factor)
  }
}
