/// Reads "90s", "3m", "1.5h", "24h", "1d", "1h30m" as seconds; nil for anything else.
package func parseDuration(_ text: String) -> Double? {
  let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
  var total = 0.0
  var number = ""
  for character in text {
    if let unit = units[character] {
      guard let value = Double(number), value >= 0 else { return nil }
      total += value * unit
      number = ""
    } else {
      guard character.isASCII, character.isNumber || character == "." else { return nil }
      number.append(character)
    }
  }
  return number.isEmpty && total > 0 && total.isFinite ? total : nil
}

/// "2h 05m", "3m 20s", "12s".
package func formatDuration(_ seconds: Double) -> String {
  let whole = Int(max(0, min(seconds, 1e12)).rounded())
  func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
  if whole >= 3600 { return "\(whole / 3600)h \(padded(whole % 3600 / 60))m" }
  if whole >= 60 { return "\(whole / 60)m \(padded(whole % 60))s" }
  return "\(whole)s"
}
