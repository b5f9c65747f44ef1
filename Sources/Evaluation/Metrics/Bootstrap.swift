import Compute

/// A 95 % confidence interval of each value by resampling the examples: the 2.5th and the 97.5th percentile over 1,000
/// samples with replacement, each as large as the data. The same examples give the same interval.
///
/// Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Koehn, "Statistical Significance Tests for
/// Machine Translation Evaluation", EMNLP 2004.
enum Bootstrap {
  private static let samples = 1000
  private static let random = Philox(seed: 0)

  /// - Parameter measures: of the same examples; all see the same samples.
  /// - Returns: the interval of each value of each measure.
  static func intervals(_ measures: [Measure]) -> [[ClosedRange<Double>]] {
    let count = measures.first?.count ?? 0
    var values = measures.map { [[Double]](repeating: [], count: $0.keys.count) }
    for sample in 0..<samples {
      let examples = draw(count, sample: UInt32(sample))
      for (index, measure) in measures.enumerated() {
        for (key, value) in measure.values(examples).enumerated() { values[index][key].append(value) }
      }
    }
    return values.map { $0.map(interval) }
  }

  /// `count` of as many examples, by their indices.
  private static func draw(_ count: Int, sample: UInt32) -> [Int] {
    var examples: [Int] = []
    examples.reserveCapacity(count + 3)
    var block: UInt32 = 0
    while examples.count < count {
      let words = random.words(SIMD4(block, 0, sample, 0))
      for lane in 0..<4 { examples.append(Int((UInt64(words[lane]) * UInt64(count)) >> 32)) }
      block += 1
    }
    examples.removeLast(examples.count - count)
    return examples
  }

  private static func interval(_ values: [Double]) -> ClosedRange<Double> {
    let sorted = values.sorted()
    let (low, high) = (percentile(0.025, sorted), percentile(0.975, sorted))
    return low...max(low, high)
  }

  /// Between the two values that are nearest, in proportion.
  private static func percentile(_ share: Double, _ sorted: [Double]) -> Double {
    let place = share * Double(sorted.count - 1)
    let index = Int(place)
    guard index + 1 < sorted.count else { return sorted.last ?? 0 }
    return sorted[index] + (place - Double(index)) * (sorted[index + 1] - sorted[index])
  }
}
