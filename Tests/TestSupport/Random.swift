import Compute
import Foundation

/// Numbers from N(0, 1), a function of (seed, stream). Box and Muller (1958).
package func normals(_ count: Int, seed: UInt64, stream: UInt32 = 0) -> [Float] {
  let philox = Philox(seed: seed)
  return (0..<count).map { index in
    let radius = (-2 * log(1 - Double(philox.uniform(UInt64(2 * index), stream: stream)))).squareRoot()
    return Float(radius * cos(2 * .pi * Double(philox.uniform(UInt64(2 * index + 1), stream: stream))))
  }
}

/// Integers in 0..<bound, a function of (seed, stream).
package func integers(_ count: Int, below bound: Int, seed: UInt64, stream: UInt32 = 0) -> [Int32] {
  let philox = Philox(seed: seed)
  return (0..<count).map { Int32(philox.word(UInt64($0), stream: stream) % UInt32(bound)) }
}

/// ‖x − y‖∞ ÷ ‖y‖∞; infinite where x isn't finite and y is, or where both are zero but differ.
package func relativeError(_ x: [Float], _ y: [Double]) -> Double {
  precondition(x.count == y.count)
  var difference = 0.0
  var norm = 0.0
  for (a, b) in zip(x, y) {
    if a.isInfinite && b.isInfinite && (a < 0) == (b < 0) { continue }
    guard a.isFinite else { return .infinity }
    difference = max(difference, abs(Double(a) - b))
    norm = max(norm, abs(b))
  }
  return difference == 0 ? 0 : difference / max(norm, 1e-30)
}
