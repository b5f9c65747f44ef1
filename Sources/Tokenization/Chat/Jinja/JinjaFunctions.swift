import Foundation

/// The functions that every template has, and the methods of strings, lists and mappings that change nothing.
enum JinjaFunctions {
  static let globals: Set<String> = ["range", "namespace", "dict", "raise_exception"]

  private static let stringMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "upper", "lower", "title",
    "capitalize", "replace", "find", "rfind", "index", "count", "join", "removeprefix", "removesuffix", "isdigit",
    "isalpha", "isalnum", "isspace", "isupper", "islower", "zfill", "ljust", "rjust", "partition", "rpartition",
    "casefold",
  ]

  static func isMethod(_ name: String, of value: JinjaValue) -> Bool {
    switch value {
    case .text: stringMethods.contains(name)
    case .list: ["index", "count"].contains(name)
    case .dict: ["items", "keys", "values", "get", "copy"].contains(name)
    default: false
    }
  }
}

extension JinjaInterpreter {
  func callGlobal(_ name: String, _ arguments: JinjaArguments) throws(JinjaError) -> JinjaValue {
    switch name {
    case "range": return try range(arguments)
    case "namespace", "dict":
      var dict = JinjaDict()
      if case .dict(let given)? = arguments.positional.first { dict = given }
      for (key, value) in arguments.named {
        guard name == "dict" || !key.hasPrefix("_") else { throw JinjaError("a namespace's names don't begin with _") }
        try dict.set(.string(key), value)
      }
      guard name == "namespace" else { return .dict(dict) }
      let namespace = makeNamespace()
      namespace.values = dict
      return .namespace(namespace)
    case "strftime_now":
      let format = arguments.positional.first?.text ?? []
      return .text(try formatted(time: time ?? 0, format))
    default:
      let message = try JinjaPrinter.print(arguments.positional.first ?? .text([]), budget)
      throw JinjaError.refusal(message.string)
    }
  }

  /// A local time as C's strftime writes it.
  private func formatted(time seconds: Int, _ format: JinjaText) throws(JinjaError) -> JinjaText {
    guard format.count <= 200, !format.contains("\0") else { throw JinjaError("strftime_now: the format is too long") }
    var (seconds, parts) = (time_t(seconds), tm())
    localtime_r(&seconds, &parts)
    var buffer = [CChar](repeating: 0, count: 8192)
    let count = strftime(&buffer, buffer.count, format.string, &parts)
    return JinjaText(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  private func range(_ arguments: JinjaArguments) throws(JinjaError) -> JinjaValue {
    let numbers = arguments.positional.compactMap(\.int)
    guard (1...3).contains(numbers.count), numbers.count == arguments.positional.count, arguments.named.isEmpty else {
      throw JinjaError("range takes one to three whole numbers")
    }
    let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
    let step = numbers.count == 3 ? numbers[2] : 1
    guard step != 0 else { throw JinjaError("range's step is 0") }
    // As Jinja's sandbox limits it.
    let limit = 100_000
    var values: [JinjaValue] = []
    for value in stride(from: start, to: stop, by: step) {
      guard values.count < limit else { throw JinjaError("a range has more than \(limit) numbers") }
      values.append(.integer(value))
    }
    try budget.spend(items: values.count)
    return .list(try JinjaList(values))
  }

  func callMethod(_ name: String, of value: JinjaValue, _ arguments: JinjaArguments) throws(JinjaError) -> JinjaValue {
    switch value {
    case .text(let text):
      try budget.spend(text.count)
      return try callMethod(name, of: text, arguments)
    case .list(let list):
      let part = try arguments.bound(to: ["value"], by: name)[0] ?? .none
      var found: [Int] = []
      for (index, item) in list.items.enumerated() where try JinjaOperators.equal(item, part, budget) {
        found.append(index)
      }
      if name == "count" { return .integer(found.count) }
      guard let first = found.first else { throw JinjaError("index: the value isn't in the list") }
      return .integer(first)
    case .dict(let dict):
      try budget.spend(items: dict.keys.count)
      switch name {
      case "items": return .list(try JinjaList(try dict.pairs()))
      case "keys": return .list(try JinjaList(dict.keys))
      case "values": return .list(try JinjaList(dict.values))
      case "copy": return value
      default:
        let values = try arguments.bound(to: ["key", "default"], by: name)
        return dict[values[0] ?? .none] ?? values[1] ?? .none
      }
    case .integer(let round) where name == "cycle":
      guard !arguments.positional.isEmpty else { throw JinjaError("cycle: expected values") }
      return arguments.positional[round % arguments.positional.count]
    default: throw JinjaError("\(value.kind) has no method \(name)")
    }
  }

  private func callMethod(
    _ name: String, of text: JinjaText, _ arguments: JinjaArguments
  ) throws(JinjaError) -> JinjaValue {
    func values(_ names: String...) throws(JinjaError) -> [JinjaValue?] { try arguments.bound(to: names, by: name) }
    func required(_ value: JinjaValue?) throws(JinjaError) -> JinjaText {
      guard let text = value?.text else {
        throw JinjaError("\(name): found \(value?.kind ?? "nothing"), expected a string")
      }
      return text
    }
    func optional(_ value: JinjaValue?) throws(JinjaError) -> JinjaText? {
      guard let value, !value.isNone else { return nil }
      return try required(value)
    }
    /// Python takes a negative limit for none.
    func limit(_ value: JinjaValue?) -> Int? { value?.int.flatMap { $0 < 0 ? nil : $0 } }
    func texts(_ texts: [JinjaText], isTuple: Bool = false) throws(JinjaError) -> JinjaValue {
      try budget.spend(items: texts.count)
      return .list(try JinjaList(texts.map { .text($0) }, isTuple: isTuple))
    }
    switch name {
    case "strip": return .text(text.stripped(try optional(try values("chars")[0])))
    case "lstrip": return .text(text.stripped(try optional(try values("chars")[0]), right: false))
    case "rstrip": return .text(text.stripped(try optional(try values("chars")[0]), left: false))
    case "split", "rsplit":
      let given = try values("sep", "maxsplit")
      let separator = try optional(given[0])
      guard separator?.isEmpty != true else { throw JinjaError("\(name): the separator is empty") }
      guard name == "rsplit", let limit = limit(given[1]) else {
        return try texts(text.split(by: separator, limit: limit(given[1])))
      }
      let pieces = Array(text.reversed()).split(by: separator.map { $0.reversed() }, limit: limit)
      return try texts(pieces.reversed().map { $0.reversed() })
    case "splitlines": return try texts(text.lines)
    case "startswith", "endswith":
      let given = try values("prefix")[0]
      var parts: [JinjaText] = []
      if case .list(let list)? = given {
        for item in list.items { parts.append(try required(item)) }
      } else {
        parts = [try required(given)]
      }
      return .bool(parts.contains { text.has($0, at: name == "startswith" ? 0 : text.count - $0.count) })
    case "upper": return .text(text.uppercased)
    case "lower", "casefold": return .text(text.lowercased)
    case "title": return .text(text.titled)
    case "capitalize": return .text(text.capitalized)
    case "replace":
      let given = try values("old", "new", "count")
      return try replace(text, try required(given[0]), try required(given[1]), limit(given[2]))
    case "find", "index":
      let place = text.find(try required(try values("sub")[0]))
      if name == "index", place == nil { throw JinjaError("index: the text isn't there") }
      return .integer(place ?? -1)
    case "rfind": return .integer(text.findLast(try required(try values("sub")[0])) ?? -1)
    case "count": return .integer(text.occurrences(of: try required(try values("sub")[0])))
    case "join":
      var pieces: [JinjaText] = []
      for item in try elements(try values("iterable")[0] ?? .none) { pieces.append(try required(item)) }
      return .text(try joined(pieces, by: text))
    case "removeprefix":
      let part = try required(try values("prefix")[0])
      return .text(text.has(part, at: 0) ? Array(text.dropFirst(part.count)) : text)
    case "removesuffix":
      let part = try required(try values("suffix")[0])
      return .text(text.has(part, at: text.count - part.count) ? Array(text.dropLast(part.count)) : text)
    case "isdigit": return .bool(!text.isEmpty && text.allSatisfy(\.isDigit))
    case "isalpha": return .bool(!text.isEmpty && text.allSatisfy(\.isLetter))
    case "isalnum": return .bool(!text.isEmpty && text.allSatisfy(\.isAlphanumeric))
    case "isspace": return .bool(!text.isEmpty && text.allSatisfy(\.isSpace))
    case "isupper": return .bool(text.contains { $0.properties.isCased } && text == text.uppercased)
    case "islower": return .bool(text.contains { $0.properties.isCased } && text == text.lowercased)
    case "zfill", "ljust", "rjust":
      let given = try values("width", "fillchar")
      let missing = max(0, (given[0]?.int ?? 0) - text.count)
      try budget.spend(missing)
      let fill = Array(repeatElement(try optional(given[1])?.first ?? (name == "zfill" ? "0" : " "), count: missing))
      guard name == "zfill", let sign = text.first, sign == "-" || sign == "+" else {
        return .text(name == "ljust" ? text + fill : fill + text)
      }
      return .text([sign] + fill + text.dropFirst())
    default:
      let separator = try required(try values("sep")[0])
      guard !separator.isEmpty else { throw JinjaError("\(name): the separator is empty") }
      guard let place = name == "partition" ? text.find(separator) : text.findLast(separator) else {
        return try texts(name == "partition" ? [text, [], []] : [[], [], text], isTuple: true)
      }
      let behind = Array(text[(place + separator.count)...])
      return try texts([Array(text[..<place]), separator, behind], isTuple: true)
    }
  }

  /// Replaces after making sure that the result may be that long.
  func replace(
    _ text: JinjaText, _ old: JinjaText, _ new: JinjaText, _ limit: Int?
  ) throws(JinjaError) -> JinjaValue {
    let (growth, overflows) = text.occurrences(of: old).multipliedReportingOverflow(by: new.count)
    try budget.spend(overflows ? .max : growth)
    return .text(text.replacing(old, with: new, limit: limit))
  }

  func joined(_ pieces: [JinjaText], by separator: JinjaText) throws(JinjaError) -> JinjaText {
    var text: JinjaText = []
    for (index, piece) in pieces.enumerated() {
      try budget.spend(piece.count + separator.count)
      if index > 0 { text += separator }
      text += piece
    }
    return text
  }
}
