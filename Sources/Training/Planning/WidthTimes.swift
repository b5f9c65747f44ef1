import Foundation

/// What an update takes at each of a ladder of widths: measured at some of them, at the others by the speed of their
/// neighbours.
package struct WidthTimes {
  package struct Work {
    /// Floating-point operations per token.
    let flops: Double
    let parameters: Double

    package init(flops: Double, parameters: Double) {
      self.flops = flops
      self.parameters = parameters
    }
  }

  private let works: [Work]
  private var measured: [Int: StepTime] = [:]

  package init(_ works: [Work]) {
    self.works = works
  }

  package func isMeasured(_ index: Int) -> Bool { measured[index] != nil }

  package mutating func record(_ time: StepTime, at index: Int) { measured[index] = time }

  /// Nil until a width is measured that is no larger.
  package subscript(index: Int) -> StepTime? {
    if let time = measured[index] { return time }
    guard let below = measured.keys.filter({ $0 < index }).max(), let small = measured[below] else { return nil }
    let (work, smaller) = (works[index], works[below])
    guard let above = measured.keys.filter({ $0 > index }).min(), let large = measured[above] else {
      return small.scaled(flops: work.flops / smaller.flops, parameters: work.parameters / smaller.parameters)
    }
    // Machines are faster at larger products, most of all GPUs: the speed goes from one to the other.
    let larger = works[above]
    let share = log(work.flops / smaller.flops) / log(larger.flops / smaller.flops)
    func between(_ a: Double, _ b: Double) -> Double { exp((1 - share) * log(a) + share * log(b)) }
    let speed = between(smaller.flops / small.perToken, larger.flops / large.perToken)
    return StepTime(
      fixed: (1 - share) * small.fixed + share * large.fixed, perToken: work.flops / speed, isMeasured: false)
  }
}
