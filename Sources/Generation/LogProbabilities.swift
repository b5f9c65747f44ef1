import Foundation

/// A token that might come, and how likely.
package struct TokenAlternative: Sendable, Equatable {
  package let id: Int32
  /// Nats.
  package let logProbability: Double
}

/// Log-probabilities of what comes next: log softmax(z), in fp64.
package struct LogProbabilities {
  private let logits: ArraySlice<Float>
  private let highest: Double
  private let logSum: Double

  /// - Parameter logits: (V).
  package init(_ logits: ArraySlice<Float>) {
    self.logits = logits
    let highest = Double(logits.max() ?? 0)
    self.highest = highest
    logSum = log(logits.reduce(0) { $0 + exp(Double($1) - highest) })
  }

  package subscript(id: Int32) -> Double { Double(logits[logits.startIndex + Int(id)]) - highest - logSum }

  /// The `count` most likely tokens, most likely first; of equals the lower id.
  package func top(_ count: Int) -> [TokenAlternative] {
    guard count > 0 else { return [] }
    var best: [Int] = []
    for index in logits.indices {
      if best.count == count, let last = best.last, logits[last] >= logits[index] { continue }
      let place = best.firstIndex { logits[$0] < logits[index] } ?? best.endIndex
      best.insert(index, at: place)
      if best.count > count { best.removeLast() }
    }
    return best.map { index in
      let id = Int32(index - logits.startIndex)
      return TokenAlternative(id: id, logProbability: self[id])
    }
  }
}
