import Foundation

/// A number with `digits` behind the point.
func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

/// "12.3k", "4.5M": a count for people.
func compact(_ value: Double) -> String {
  for (limit, unit) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] where value >= limit {
    return fixed(value / limit, value / limit < 100 ? 1 : 0) + unit
  }
  return fixed(value, 0)
}
