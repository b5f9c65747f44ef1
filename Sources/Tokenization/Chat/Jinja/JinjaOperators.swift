import Foundation

/// Arithmetic, comparison and membership as in Python.
enum JinjaOperators {
  static func binary(
    _ sign: String, _ a: JinjaValue, _ b: JinjaValue, _ budget: JinjaBudget
  ) throws(JinjaError) -> JinjaValue {
    if let x = a.int, let y = b.int { return try integers(sign, x, y) }
    if let x = a.double, let y = b.double { return try numbers(sign, x, y) }
    switch (sign, a, b) {
    case ("+", .text(let x), .text(let y)):
      try budget.spend(x.count + y.count)
      return .text(x + y)
    case ("+", .list(let x), .list(let y)) where x.isTuple == y.isTuple:
      try budget.spend(items: x.items.count + y.items.count)
      return .list(try JinjaList(x.items + y.items, isTuple: x.isTuple))
    case ("*", .text(let text), _) where b.int != nil: return try repeated(text, b.int ?? 0, budget)
    case ("*", _, .text(let text)) where a.int != nil: return try repeated(text, a.int ?? 0, budget)
    case ("*", .list(let list), _) where b.int != nil: return try repeated(list, b.int ?? 0, budget)
    case ("*", _, .list(let list)) where a.int != nil: return try repeated(list, a.int ?? 0, budget)
    case ("%", .text, _): throw .unsupported("% behind a string", supported: "~ and the filters")
    default: throw JinjaError("\(a.kind) \(sign) \(b.kind) can't be computed")
    }
  }

  private static func repeated(_ text: JinjaText, _ count: Int, _ budget: JinjaBudget) throws(JinjaError) -> JinjaValue
  {
    guard count > 0, !text.isEmpty else { return .text([]) }
    try budget.spend(product(text.count, count))
    return .text(Array(repeatElement(text, count: count).joined()))
  }

  private static func repeated(_ list: JinjaList, _ count: Int, _ budget: JinjaBudget) throws(JinjaError) -> JinjaValue
  {
    guard count > 0, !list.items.isEmpty else { return .list(try JinjaList([], isTuple: list.isTuple)) }
    try budget.spend(items: product(list.items.count, count))
    return .list(
      try JinjaList(Array(repeatElement(list.items, count: count).joined()), isTuple: list.isTuple))
  }

  private static func product(_ a: Int, _ b: Int) -> Int {
    let (product, overflows) = a.multipliedReportingOverflow(by: b)
    return overflows ? .max : product
  }

  private static func integers(_ sign: String, _ x: Int, _ y: Int) throws(JinjaError) -> JinjaValue {
    func checked(_ result: (partialValue: Int, overflow: Bool)) throws(JinjaError) -> JinjaValue {
      guard !result.overflow else { throw JinjaError("\(x) \(sign) \(y) is too large; expected at most \(Int.max)") }
      return .integer(result.partialValue)
    }
    switch sign {
    case "+": return try checked(x.addingReportingOverflow(y))
    case "-": return try checked(x.subtractingReportingOverflow(y))
    case "*": return try checked(x.multipliedReportingOverflow(by: y))
    case "//", "%":
      guard y != 0 else { throw JinjaError("\(x) \(sign) 0: division by zero") }
      guard y != -1 else { return sign == "%" ? .integer(0) : try checked(0.subtractingReportingOverflow(x)) }
      let (quotient, rest) = x.quotientAndRemainder(dividingBy: y)
      let isBelow = rest != 0 && (rest < 0) != (y < 0)
      return .integer(sign == "%" ? (isBelow ? rest + y : rest) : (isBelow ? quotient - 1 : quotient))
    case "**" where y >= 0:
      var (result, base, power) = (1, x, y)
      while power > 0 {
        if power & 1 == 1 {
          let (value, overflows) = result.multipliedReportingOverflow(by: base)
          guard !overflows else { throw JinjaError("\(x) ** \(y) is too large; expected at most \(Int.max)") }
          result = value
        }
        power >>= 1
        if power > 0 {
          let (value, overflows) = base.multipliedReportingOverflow(by: base)
          guard !overflows else { throw JinjaError("\(x) ** \(y) is too large; expected at most \(Int.max)") }
          base = value
        }
      }
      return .integer(result)
    default: return try numbers(sign, Double(x), Double(y))
    }
  }

  private static func numbers(_ sign: String, _ x: Double, _ y: Double) throws(JinjaError) -> JinjaValue {
    if ["/", "//", "%"].contains(sign), y == 0 { throw JinjaError("\(x) \(sign) 0: division by zero") }
    switch sign {
    case "+": return .number(x + y)
    case "-": return .number(x - y)
    case "*": return .number(x * y)
    case "/": return .number(x / y)
    case "//": return .number((x / y).rounded(.down))
    case "%":
      let rest = x.truncatingRemainder(dividingBy: y)
      return .number(rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest)
    default: return .number(pow(x, y))
    }
  }

  // MARK: Comparison

  static func equal(_ a: JinjaValue, _ b: JinjaValue, _ budget: JinjaBudget) throws(JinjaError) -> Bool {
    try budget.spend(1)
    if let x = a.int, let y = b.int { return x == y }
    if let x = a.double, let y = b.double { return x == y }
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let x), .text(let y)):
      try budget.spend(min(x.count, y.count))
      return x == y
    case (.list(let x), .list(let y)):
      guard x.isTuple == y.isTuple, x.items.count == y.items.count else { return false }
      for (x, y) in zip(x.items, y.items) where try !equal(x, y, budget) { return false }
      return true
    case (.dict(let x), .dict(let y)):
      guard x.keys.count == y.keys.count else { return false }
      for (key, value) in zip(x.keys, x.values) {
        guard let other = y[key], try equal(value, other, budget) else { return false }
      }
      return true
    case (.namespace(let x), .namespace(let y)): return x === y
    case (.macro(let x), .macro(let y)): return x === y
    default: return false
    }
  }

  static func isLess(_ a: JinjaValue, _ b: JinjaValue, _ budget: JinjaBudget) throws(JinjaError) -> Bool {
    try budget.spend(1)
    if let x = a.int, let y = b.int { return x < y }
    if let x = a.double, let y = b.double { return x < y }
    switch (a, b) {
    case (.text(let x), .text(let y)):
      try budget.spend(min(x.count, y.count))
      return x.lexicographicallyPrecedes(y)
    case (.list(let x), .list(let y)) where x.isTuple == y.isTuple:
      for (x, y) in zip(x.items, y.items) where try !equal(x, y, budget) { return try isLess(x, y, budget) }
      return x.items.count < y.items.count
    default: throw JinjaError("\(a.kind) and \(b.kind) have no order")
    }
  }

  static func compare(
    _ sign: String, _ a: JinjaValue, _ b: JinjaValue, _ budget: JinjaBudget
  ) throws(JinjaError) -> Bool {
    switch sign {
    case "==": return try equal(a, b, budget)
    case "!=": return try !equal(a, b, budget)
    case "<": return try isLess(a, b, budget)
    case ">": return try isLess(b, a, budget)
    case "<=", ">=":
      if try equal(a, b, budget) { return true }
      return sign == "<=" ? try isLess(a, b, budget) : try isLess(b, a, budget)
    case "in": return try contains(b, a, budget)
    default: return try !contains(b, a, budget)
    }
  }

  static func contains(_ whole: JinjaValue, _ part: JinjaValue, _ budget: JinjaBudget) throws(JinjaError) -> Bool {
    switch whole {
    case .undefined: return false
    case .text(let text):
      guard case .text(let part) = part else { throw JinjaError("\(part.kind) can't be in a string") }
      try budget.spend(text.count)
      return text.find(part) != nil
    case .list(let list):
      for item in list.items where try equal(item, part, budget) { return true }
      return false
    case .dict(let dict):
      return dict[part] != nil
    default: throw JinjaError("nothing can be in \(whole.kind)")
    }
  }

  // MARK: Parts

  /// The range of a slice over `count` elements, as places in order.
  static func places(_ slice: (JinjaValue, JinjaValue, JinjaValue), count: Int) throws(JinjaError) -> [Int] {
    func bound(_ value: JinjaValue) throws(JinjaError) -> Int? {
      if value.isNone { return nil }
      guard let bound = value.int else { throw JinjaError("a slice's bound is \(value.kind), expected a whole number") }
      return bound
    }
    let step = try bound(slice.2) ?? 1
    guard step != 0 else { throw JinjaError("a slice's step is 0") }
    func clamped(_ value: Int, _ low: Int, _ high: Int) -> Int {
      min(max(value < 0 ? value.addingReportingOverflow(count).partialValue : value, low), high)
    }
    let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
    let start = try bound(slice.0).map { clamped($0, low, high) } ?? (step > 0 ? 0 : count - 1)
    let stop = try bound(slice.1).map { clamped($0, low, high) } ?? (step > 0 ? count : -1)
    // A larger step takes the first element alone, too.
    return Array(stride(from: start, to: stop, by: min(max(step, -count - 1), count + 1)))
  }
}
