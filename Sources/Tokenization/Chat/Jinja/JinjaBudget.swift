/// What rendering may take: templates come from outside, and a short one can ask for endless work.
///
/// A unit is about a character that is made or looked at; a step and an element of a list count as several.
final class JinjaBudget {
  static let units = 64 << 20
  private static let step = 32
  /// Evaluations in one another: each needs room on the stack.
  private static let deepest = 300

  private var left = JinjaBudget.units
  private var depth = 0

  func spend(_ units: Int) throws(JinjaError) {
    guard units <= left else {
      throw JinjaError(
        "the template asks for too much work; the limit is \(Self.units) characters or \(Self.units / Self.step) steps")
    }
    left -= units
  }

  func spend(items: Int) throws(JinjaError) {
    try spend(items > Int.max / Self.step ? .max : items * Self.step)
  }

  func enter() throws(JinjaError) {
    try spend(Self.step)
    depth += 1
    guard depth <= Self.deepest else {
      depth -= 1
      throw JinjaError("macros and expressions are more than \(Self.deepest) levels deep")
    }
  }

  func leave() { depth -= 1 }
}
