import Foundation
import Generation
import TestSupport
import Testing

@Suite("Log-probabilities")
struct LogProbabilitiesTests {
  @Test("are the logarithm of a softmax, of any part of an array")
  func softmax() {
    let logits: [Float] = [9, 1, 2, 3, 9]
    let found = LogProbabilities(logits[1..<4])
    let sum = exp(1.0) + exp(2.0) + exp(3.0)
    for id in 0..<3 as Range<Int32> { #expect(abs(found[id] - (Double(id) + 1 - log(sum))) < 1e-12) }
  }

  @Test("have the most likely first, and of equals the lower id")
  func top() {
    let logits = normals(500, seed: 1).map { ($0 * 4).rounded() }
    let found = LogProbabilities(logits[...])
    let order = logits.indices.sorted { (logits[$0], $1) > (logits[$1], $0) }
    for count in [0, 1, 5, 500, 501] {
      #expect(found.top(count).map(\.id) == order.prefix(count).map { Int32($0) })
    }
  }

  @Test("don't overflow")
  func large() {
    let found = LogProbabilities([3e38, 3e38, -3e38][...])
    #expect(abs(found[0] + log(2)) < 1e-12)
    #expect(found[2] < -1e38)
  }
}
