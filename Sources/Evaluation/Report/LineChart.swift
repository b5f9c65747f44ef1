import Formats
import Foundation

/// Lines over the steps of a run as inline SVG; under each step stands the time that had passed.
struct LineChart {
  struct Line {
    let name: String
    let points: [(x: Double, y: Double)]
  }

  let title: String
  /// Up to ``colors``.
  let lines: [Line]
  /// Seconds at a step.
  let time: (Double) -> Double?

  /// Lines that can be told apart: the style has a color for each.
  static let colors = 8

  private static let (width, height) = (720.0, 264.0)
  private static let (left, right, top, bottom) = (62.0, 14.0, 12.0, 48.0)

  /// Empty where there is nothing to draw.
  var html: String {
    let lines = lines.filter { !$0.points.isEmpty }
    let points = lines.flatMap(\.points).filter { $0.x.isFinite && $0.y.isFinite }
    guard let first = points.map(\.x).min(), let last = points.map(\.x).max(), let low = points.map(\.y).min(),
      let high = points.map(\.y).max()
    else { return "" }
    let ticks = Self.ticks(low, high)
    let (bottomValue, topValue) = (min(low, ticks.first ?? low), max(high, ticks.last ?? high))
    func x(_ value: Double) -> Double {
      Self.left + (last > first ? (value - first) / (last - first) : 0.5) * (Self.width - Self.left - Self.right)
    }
    func y(_ value: Double) -> Double {
      let share = topValue > bottomValue ? (value - bottomValue) / (topValue - bottomValue) : 0.5
      return Self.height - Self.bottom - share * (Self.height - Self.top - Self.bottom)
    }
    var svg = ""
    for tick in ticks {
      let place = Self.number(y(tick))
      svg += "<line x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(place)\" y2=\"\(place)\"/>"
      svg += "<text class=\"end\" x=\"\(Self.left - 6)\" y=\"\(Self.number(y(tick) + 4))\">\(Self.short(tick))</text>"
    }
    for share in last > first ? [0, 0.25, 0.5, 0.75, 1] : [0.5] {
      let step = (first + share * (last - first)).rounded()
      let place = Self.number(min(x(step), Self.width - 34))
      svg += "<text x=\"\(place)\" y=\"\(Self.height - 27)\">\(HTML.grouped(Int(exactly: step) ?? .max))</text>"
      if let seconds = time(step) {
        svg += "<text x=\"\(place)\" y=\"\(Self.height - 7)\">\(Self.duration(seconds))</text>"
      }
    }
    for (index, line) in lines.enumerated() {
      let color = "line\(index)"
      let points = line.points.filter { $0.x.isFinite && $0.y.isFinite }
      let path = points.map { "\(Self.number(x($0.x))) \(Self.number(y($0.y)))" }.joined(separator: "L")
      svg += "<path class=\"\(color)\" d=\"M\(path)\"/>"
      // Few points are seen as such; one alone would be no line.
      if points.count < 40 {
        for point in points {
          svg +=
            "<circle class=\"\(color)\" cx=\"\(Self.number(x(point.x)))\" cy=\"\(Self.number(y(point.y)))\" r=\"3\"/>"
        }
      }
    }
    // One line needs no name beside the title.
    let keys = (lines.count > 1 ? lines : []).enumerated().map {
      "<span class=\"key line\($0)\">\(HTML.escaped($1.name))</span>"
    }
    return """
      <figure class="chart"><figcaption>\(HTML.escaped(title))\(keys.joined())</figcaption>
      <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(HTML.escaped(title))">\(svg)</svg>
      </figure>
      """
  }

  /// Round numbers, about five, that lie within the range.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    guard high > low else { return [low] }
    let rough = (high - low) / 5
    let power = pow(10, floor(log10(rough)))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    let first = (low / step).rounded(.up)
    let last = (high / step).rounded(.down)
    guard last >= first, last - first < 20 else { return [low, high] }
    return (0...Int(last - first)).map { (first + Double($0)) * step }
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  static func short(_ value: Double) -> String {
    for (limit, unit) in [(1e9, "G"), (1e6, "M"), (1e4, "k")] where abs(value) >= limit && abs(value) < 1e12 {
      return String(format: "%.4g", value / (unit == "k" ? 1e3 : limit)) + unit
    }
    return String(format: "%.4g", value)
  }

  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "" }
    let whole = Int(max(0, seconds))
    if whole < 60 { return "\(whole)s" }
    if whole < 3600 { return "\(whole / 60)m \(whole % 60)s" }
    return "\(whole / 3600)h \(whole / 60 % 60)m"
  }
}
