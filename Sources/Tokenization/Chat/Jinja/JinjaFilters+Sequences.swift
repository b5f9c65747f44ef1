/// Filters over lists and mappings.
extension JinjaInterpreter {
  func filterSequence(
    _ value: JinjaValue, _ filter: JinjaFilter, _ arguments: JinjaArguments
  ) throws(JinjaError) -> JinjaValue {
    func given(_ names: String...) throws(JinjaError) -> [JinjaValue?] {
      try arguments.bound(to: names, by: "the filter '\(filter.rawValue)'")
    }
    func list(_ items: [JinjaValue]) throws(JinjaError) -> JinjaValue {
      try budget.spend(items: items.count)
      return .list(try JinjaList(items))
    }
    if filter == .reverse, case .text(let text) = value { return .text(text.reversed()) }
    if filter == .items || filter == .dictsort {
      guard case .dict(let dict) = value else {
        if filter == .items, value.isUndefined { return try list([]) }
        throw JinjaError("\(filter.rawValue): found \(value.kind), expected a mapping")
      }
      let pairs = try dict.pairs()
      guard filter == .dictsort else { return try list(pairs) }
      let parts = try given("case_sensitive", "by", "reverse")
      let place = parts[1]?.text?.string == "value" ? 1 : 0
      return try list(
        try sorted(pairs, ignoringCase: !(parts[0]?.isTrue ?? false), reversed: parts[2]?.isTrue ?? false) {
          pair throws(JinjaError) in try self.item(.integer(place), of: pair)
        })
    }
    let items = try elements(value)
    switch filter {
    case .first: return items.first ?? .undefined("the first of nothing")
    case .last: return items.last ?? .undefined("the last of nothing")
    case .list: return try list(items)
    case .reverse: return try list(items.reversed())
    case .join:
      let parts = try given("d", "attribute")
      var texts: [JinjaText] = []
      for item in items {
        texts.append(try JinjaPrinter.print(try part(parts[1], of: item), budget))
      }
      return .text(try joined(texts, by: try JinjaPrinter.print(parts[0] ?? .text([]), budget)))
    case .map: return try list(try mapped(items, arguments))
    case .select, .reject, .selectattr, .rejectattr: return try list(try selected(items, filter, arguments))
    case .sort:
      let parts = try given("reverse", "case_sensitive", "attribute")
      return try list(
        try sorted(items, ignoringCase: !(parts[1]?.isTrue ?? false), reversed: parts[0]?.isTrue ?? false) {
          item throws(JinjaError) in try self.part(parts[2], of: item)
        })
    case .min, .max:
      let parts = try given("case_sensitive", "attribute")
      let isMax = filter == .max
      let ordered = try sorted(items, ignoringCase: !(parts[0]?.isTrue ?? false), reversed: isMax) {
        item throws(JinjaError) in try self.part(parts[1], of: item)
      }
      return ordered.first ?? .undefined("the \(filter.rawValue) of nothing")
    case .unique:
      let parts = try given("case_sensitive", "attribute")
      var seen: Set<JinjaKey> = []
      var kept: [JinjaValue] = []
      for item in items {
        let value = folded(try part(parts[1], of: item), !(parts[0]?.isTrue ?? false))
        guard let key = JinjaKey(value) else { throw JinjaError("unique: \(value.kind) can't be told apart") }
        if seen.insert(key).inserted { kept.append(item) }
      }
      return try list(kept)
    case .sum:
      let parts = try given("attribute", "start")
      var sum = parts[1] ?? .integer(0)
      for item in items { sum = try JinjaOperators.binary("+", sum, try part(parts[0], of: item), budget) }
      return sum
    case .batch:
      let parts = try given("linecount", "fill_with")
      guard let width = parts[0]?.int, width > 0 else { throw JinjaError("batch: expected a number above 0") }
      var rows: [JinjaValue] = []
      for start in stride(from: 0, to: items.count, by: width) {
        var row = Array(items[start..<Swift.min(items.count, start.addingReportingOverflow(width).partialValue)])
        if let fill = parts[1], !fill.isNone {
          try budget.spend(items: width - row.count)
          row += Array(repeatElement(fill, count: width - row.count))
        }
        rows.append(try list(row))
      }
      return try list(rows)
    default: throw JinjaError("the filter '\(filter.rawValue)' can't be used here")
    }
  }

  /// A part of an item by its path ("a.b", or an index); the item itself without one.
  private func part(_ path: JinjaValue?, of item: JinjaValue) throws(JinjaError) -> JinjaValue {
    guard let path, !path.isNone else { return item }
    guard let text = path.text else { return try self.item(path, of: item) }
    var value = item
    for name in text.split(by: ["."], limit: nil) {
      let index = name.allSatisfy { $0.asciiDigit != nil } ? Int(name.string) : nil
      value = try self.item(index.map { .integer($0) } ?? .text(name), of: value)
    }
    return value
  }

  private func mapped(_ items: [JinjaValue], _ arguments: JinjaArguments) throws(JinjaError) -> [JinjaValue] {
    var results: [JinjaValue] = []
    if arguments.positional.isEmpty {
      let parts = try arguments.bound(to: ["attribute", "default"], by: "map")
      for item in items {
        let value = try part(parts[0], of: item)
        results.append(value.isUndefined ? parts[1] ?? value : value)
      }
      return results
    }
    guard let name = arguments.positional[0].text?.string else { throw JinjaError("map: expected a filter's name") }
    var rest = arguments
    rest.positional.removeFirst()
    for item in items { results.append(try filter(item, name, rest)) }
    return results
  }

  private func selected(
    _ items: [JinjaValue], _ filter: JinjaFilter, _ arguments: JinjaArguments
  ) throws(JinjaError) -> [JinjaValue] {
    var rest = arguments
    var path: JinjaValue?
    if filter == .selectattr || filter == .rejectattr {
      guard !rest.positional.isEmpty else { throw JinjaError("\(filter.rawValue): expected an attribute") }
      path = rest.positional.removeFirst()
    }
    let name = rest.positional.first?.text?.string
    if name != nil { rest.positional.removeFirst() }
    let wanted = filter == .select || filter == .selectattr
    var kept: [JinjaValue] = []
    for item in items {
      let value = try part(path, of: item)
      let holds = if let name { try test(value, name, rest) } else { value.isTrue }
      if holds == wanted { kept.append(item) }
    }
    return kept
  }

  private func folded(_ value: JinjaValue, _ ignoresCase: Bool) -> JinjaValue {
    if ignoresCase, case .text(let text) = value { return .text(text.lowercased) }
    return value
  }

  /// A stable merge sort: comparing may fail, and may cost too much.
  private func sorted(
    _ items: [JinjaValue], ignoringCase: Bool, reversed: Bool,
    by key: (JinjaValue) throws(JinjaError) -> JinjaValue
  ) throws(JinjaError) -> [JinjaValue] {
    var runs: [[(key: JinjaValue, item: JinjaValue)]] = []
    for item in items { runs.append([(folded(try key(item), ignoringCase), item)]) }
    while runs.count > 1 {
      var merged: [[(key: JinjaValue, item: JinjaValue)]] = []
      for index in stride(from: 0, to: runs.count, by: 2) {
        guard index + 1 < runs.count else {
          merged.append(runs[index])
          break
        }
        let (a, b) = (runs[index], runs[index + 1])
        try budget.spend(items: a.count + b.count)
        var run: [(key: JinjaValue, item: JinjaValue)] = []
        var (i, j) = (0, 0)
        while i < a.count, j < b.count {
          let takesSecond =
            try reversed
            ? JinjaOperators.isLess(a[i].key, b[j].key, budget) : JinjaOperators.isLess(b[j].key, a[i].key, budget)
          if takesSecond {
            run.append(b[j])
            j += 1
          } else {
            run.append(a[i])
            i += 1
          }
        }
        merged.append(run + a[i...] + b[j...])
      }
      runs = merged
    }
    return runs.first?.map(\.item) ?? []
  }
}
