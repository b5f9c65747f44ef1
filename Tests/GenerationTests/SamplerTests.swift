import Foundation
import Generation
import TestSupport
import Testing

@Suite("A sampler")
struct SamplerTests {
  private static let logits: [Float] = [0.5, 2, -1, 1.5, 1.2, -3, 0, 0.9]

  private static func options(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
    var options = SamplingOptions()
    change(&options)
    return options
  }

  private static func probabilities(_ logits: [Float], temperature: Double = 1) -> [Double] {
    let weights = logits.map { exp(Double($0) / temperature) }
    return weights.map { $0 / weights.reduce(0, +) }
  }

  private static func draw(
    _ count: Int, _ options: SamplingOptions, logits: [Float] = logits, seen: [Int32] = []
  ) -> [Int32] {
    var sampler = Sampler(options)
    return (0..<count).map { _ in sampler.next(logits, seen: seen) }
  }

  @Test("takes the most likely token at temperature 0, of equals the lowest id")
  func greedy() {
    let greedy = Self.options { $0.temperature = 0 }
    #expect(Self.draw(3, greedy) == [1, 1, 1])
    #expect(Self.draw(1, greedy, logits: [1, 3, 3, 2]) == [1])
    #expect(Self.draw(1, greedy, logits: [-.infinity, -5]) == [1])
    #expect(Self.draw(1, greedy, logits: [7]) == [0])
  }

  @Test("draws as often as the probabilities say", arguments: [0.5, 1, 2])
  func distribution(temperature: Double) {
    let count = 20_000
    let drawn = Self.draw(count, Self.options { $0.temperature = temperature })
    let expected = Self.probabilities(Self.logits, temperature: temperature)
    var statistic = 0.0
    for (id, probability) in expected.enumerated() {
      let mean = probability * Double(count)
      let difference = Double(drawn.count { $0 == id }) - mean
      statistic += difference * difference / mean
    }
    // χ² with 7 degrees of freedom: above 29.9 once in ten thousand.
    #expect(statistic < 29.9)
  }

  @Test("draws equally likely tokens equally often, filtered or not", arguments: [0, 4])
  func uniform(topK: Int) {
    let drawn = Self.draw(8000, Self.options { $0.topK = topK }, logits: [2, 2, 2, 2])
    for id in 0..<4 { #expect(abs(drawn.count { $0 == id } - 2000) < 200) }
  }

  @Test("draws from the top k", arguments: [1, 2, 5, 8, 100])
  func topK(k: Int) {
    let best = Self.logits.indices.sorted { Self.logits[$0] > Self.logits[$1] }.prefix(k).map(Int32.init)
    let options = Self.options { ($0.topK, $0.temperature) = (k, 3) }
    #expect(Set(Self.draw(4000, options)) == Set(best))
  }

  @Test("draws from the fewest tokens that reach p", arguments: [0.01, 0.3, 0.5, 0.75, 0.95, 1])
  func topP(p: Double) {
    let temperature = 2.0
    let probabilities = Self.probabilities(Self.logits, temperature: temperature)
    let order = probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }
    let size = (1...order.count).first { order.prefix($0).reduce(0) { $0 + probabilities[$1] } >= p - 1e-12 }
    let options = Self.options { ($0.topP, $0.temperature) = (p, temperature) }
    #expect(Set(Self.draw(4000, options)) == Set(order.prefix(size ?? order.count).map(Int32.init)))
  }

  @Test("draws from what is likely enough beside the most likely", arguments: [0, 0.1, 0.4, 0.8, 1])
  func minP(p: Double) {
    let temperature = 2.0
    let probabilities = Self.probabilities(Self.logits, temperature: temperature)
    let limit = p * (probabilities.max() ?? 0)
    let expected = probabilities.indices.filter { probabilities[$0] >= limit }.map(Int32.init)
    let options = Self.options { ($0.minP, $0.temperature) = (p, temperature) }
    #expect(Set(Self.draw(4000, options)) == Set(expected))
  }

  @Test("makes what was seen less likely, whatever its sign")
  func repetitionPenalty() {
    let greedy = Self.options { ($0.temperature, $0.repetitionPenalty) = (0, 2) }
    #expect(Self.draw(1, greedy, logits: [3, 2, 1], seen: [0]) == [1])
    #expect(Self.draw(1, greedy, logits: [3, 2, 1], seen: [0, 1, 0]) == [0])
    #expect(Self.draw(1, greedy, logits: [-1, -1.5, -3], seen: [0]) == [1])
    // Ids that the model doesn't have are no matter.
    #expect(Self.draw(1, greedy, logits: [3, 2], seen: [-1, 2, .max]) == [0])
  }

  @Test("gives the same tokens for the same seed, others for another")
  func seeds() {
    let tokens = Self.draw(50, Self.options { $0.seed = 1 })
    #expect(Self.draw(50, Self.options { $0.seed = 1 }) == tokens)
    #expect(Self.draw(50, Self.options { $0.seed = 2 }) != tokens)
  }

  @Test("stays sure of itself at a temperature that is hardly above 0")
  func nearlyGreedy() {
    #expect(Set(Self.draw(50, Self.options { $0.temperature = 1e-300 })) == [1])
    #expect(Set(Self.draw(50, Self.options { ($0.temperature, $0.topP) = (1e-300, 0.5) })) == [1])
  }
}
