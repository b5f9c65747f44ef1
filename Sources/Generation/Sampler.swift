import Compute
import Foundation

/// Draws tokens: the same options and logits give the same tokens.
package struct Sampler: Sendable {
  private let options: SamplingOptions
  private let random: Philox
  private var drawn: UInt64 = 0

  package init(_ options: SamplingOptions) {
    self.options = options
    random = Philox(seed: options.seed)
  }

  /// The next token.
  ///
  /// - Parameters:
  ///   - logits: (V).
  ///   - seen: the ids so far, for the repetition penalty.
  package mutating func next(_ logits: [Float], seen: [Int32]) -> Int32 {
    var logits = logits
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for id in Set(seen) where logits.indices.contains(Int(id)) {
        let z = logits[Int(id)]
        logits[Int(id)] = z > 0 ? z / penalty : z * penalty
      }
    }
    guard options.temperature > 0 else { return Self.mostLikely(logits) }

    var candidates = candidates(logits)
    let limit = candidates.reduce(0) { $0 + $1.probability }
    var rest = Double(random.uniform(drawn)) * limit
    drawn += 1
    for candidate in candidates {
      rest -= candidate.probability
      if rest < 0 { return candidate.id }
    }
    return candidates.popLast()?.id ?? Self.mostLikely(logits)
  }

  /// The lowest id among the largest logits.
  static func mostLikely(_ logits: [Float]) -> Int32 {
    var best = 0
    for index in logits.indices where logits[index] > logits[best] { best = index }
    return Int32(best)
  }

  private struct Candidate {
    let id: Int32
    var probability: Double
  }

  /// What may be drawn, most likely first, with unnormalized probabilities.
  private func candidates(_ logits: [Float]) -> [Candidate] {
    let highest = Double(logits.max() ?? 0)
    var candidates = logits.indices.map { id in
      Candidate(id: Int32(id), probability: exp((Double(logits[id]) - highest) / options.temperature))
    }
    guard options.topK > 0 || options.topP < 1 || options.minP > 0 else { return candidates }
    candidates.sort { ($0.probability, $1.id) > ($1.probability, $0.id) }
    if options.topK > 0 { candidates.removeLast(max(0, candidates.count - options.topK)) }
    if options.topP < 1 {
      let limit = options.topP * candidates.reduce(0) { $0 + $1.probability }
      var sum = 0.0
      let kept = candidates.prefix { candidate in
        defer { sum += candidate.probability }
        return sum < limit
      }
      candidates = Array(kept.isEmpty ? candidates.prefix(1) : kept)
    }
    if options.minP > 0 {
      let limit = options.minP * (candidates.first?.probability ?? 0)
      candidates.removeAll { $0.probability < limit }
    }
    return candidates
  }
}
