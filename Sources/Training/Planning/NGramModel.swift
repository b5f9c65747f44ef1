import Foundation

/// How hard a text is for a model that counts, from single tokens to four in a row: what says, before any training, what a
/// trained one will reach.
///
/// Interpolated absolute discounting: p_k(t|c) = max(n(c,t) − d, 0)/n(c) + d·types(c)/n(c)·p_{k−1}(t|c'), p_0 = 1/V. Ney,
/// Essen & Kneser, "On structuring probabilistic dependences in stochastic language modelling", Computer Speech & Language
/// 8 (1994).
package enum NGramModel {
  private static let order = 4
  private static let discount = 0.75

  /// The mean of −log₂ p over tokens that were not counted.
  package static func bitsPerToken(of text: [Int32], counted: [Int32], vocabularySize: Int) -> Double {
    guard !text.isEmpty else { return 0 }
    var p = [Double](repeating: 1 / Double(vocabularySize), count: text.count)
    for length in 0..<order {
      var contexts = Table(capacity: counted.count)
      var sequences = Table(capacity: counted.count)
      forEachSequence(in: counted, length) { (_, context, sequence) in
        let context = contexts.index(of: context)
        let sequence = sequences.index(of: sequence)
        contexts.counts[context] += 1
        if sequences.counts[sequence] == 0 { contexts.types[context] += 1 }
        sequences.counts[sequence] += 1
      }
      forEachSequence(in: text, length) { (place, context, sequence) in
        guard let context = contexts.found(context) else { return }
        let count = Double(contexts.counts[context])
        let seen = sequences.found(sequence).map { Double(sequences.counts[$0]) } ?? 0
        p[place] =
          max(seen - discount, 0) / count + discount * Double(contexts.types[context]) / count * p[place]
      }
    }
    return p.reduce(0) { $0 - log2($1) } / Double(text.count)
  }

  /// Hashes of the `length` tokens before each place, and of those with the one at the place. Two that differ share a hash
  /// so seldom that it doesn't matter.
  private static func forEachSequence(
    in tokens: [Int32], _ length: Int, _ body: (_ place: Int, _ context: UInt64, _ sequence: UInt64) -> Void
  ) {
    for place in tokens.indices {
      var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
      for before in max(0, place - length)..<place { hash = mixed(hash, tokens[before]) }
      body(place, hash, mixed(hash, tokens[place]) | 1)
    }
  }

  /// Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014: the finalizer of SplitMix64.
  private static func mixed(_ hash: UInt64, _ token: Int32) -> UInt64 {
    var x = hash &+ (UInt64(UInt32(bitPattern: token)) &+ 1) &* 0x9E37_79B9_7F4A_7C15
    x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
    return x ^ (x >> 31)
  }

  /// Open addressing, at least twice as large as what can come. No key is 0.
  private struct Table {
    private var keys: [UInt64]
    var counts: [UInt32]
    var types: [UInt32]
    private let mask: Int

    init(capacity: Int) {
      var size = 16
      while size < 2 * capacity { size *= 2 }
      keys = [UInt64](repeating: 0, count: size)
      counts = [UInt32](repeating: 0, count: size)
      types = counts
      mask = size - 1
    }

    private func place(of key: UInt64) -> Int {
      var place = Int(truncatingIfNeeded: key >> 20) & mask
      while keys[place] != 0, keys[place] != key { place = (place + 1) & mask }
      return place
    }

    func found(_ key: UInt64) -> Int? {
      let place = place(of: key)
      return keys[place] == 0 ? nil : place
    }

    /// Makes room for a key that is new.
    mutating func index(of key: UInt64) -> Int {
      let place = place(of: key)
      keys[place] = key
      return place
    }
  }
}
