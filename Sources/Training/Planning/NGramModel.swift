import Dispatch
import Foundation

/// A model that counts, from single tokens to four in a row: what it makes of a text says, before any training, what a
/// trained one will reach.
///
/// Interpolated absolute discounting: p_k(t|c) = max(n(c,t) − d, 0)/n(c) + d·types(c)/n(c)·p_{k−1}(t|c'), p_0 = 1/V. Ney,
/// Essen & Kneser, "On structuring probabilistic dependences in stochastic language modelling", Computer Speech & Language
/// 8 (1994). It is made for a text to predict and counts only what comes behind that text's contexts, so that much more can
/// be counted than would fit into memory.
package struct NGramModel {
  private static let longest = 4
  fileprivate static let discount = 0.75

  private let text: [Int32]
  private let vocabularySize: Int
  private var orders: [Order]

  /// - Parameter text: what ``bitsPerToken`` is of.
  package init(of text: [Int32], vocabularySize: Int) {
    self.text = text
    self.vocabularySize = vocabularySize
    orders = (0..<Self.longest).map { Order(length: $0, text: text) }
  }

  /// Counts tokens, whose first ones have nothing before them.
  package mutating func count(_ tokens: [Int32]) {
    orders.withUnsafeMutableBufferPointer {
      // Unsafe only in what the compiler can see: each order is touched by one iteration alone.
      nonisolated(unsafe) let orders = $0
      DispatchQueue.concurrentPerform(iterations: orders.count) { orders[$0].count(tokens) }
    }
  }

  /// The mean of −log₂ p over the text's tokens, by what was counted so far.
  package var bitsPerToken: Double {
    guard !text.isEmpty else { return 0 }
    var p = [Double](repeating: 1 / Double(vocabularySize), count: text.count)
    for order in orders { order.refine(&p, of: text) }
    return p.reduce(0) { $0 - log2($1) } / Double(text.count)
  }
}

/// Sequences of one length and the token behind each.
private struct Order {
  private let length: Int
  /// Those of the text to predict: how often each was seen, and with how many different tokens behind it.
  private var contexts = Table()
  private var types: [UInt32] = []
  /// Those contexts with a token behind.
  private var sequences = Table()

  init(length: Int, text: [Int32]) {
    self.length = length
    for place in text.indices { _ = contexts.place(of: context(text, place)) }
    types = [UInt32](repeating: 0, count: contexts.capacity)
  }

  mutating func count(_ tokens: [Int32]) {
    for place in tokens.indices {
      let hash = context(tokens, place)
      guard let context = contexts.found(hash) else { continue }
      contexts.counts[context] += 1
      let sequence = sequences.place(of: mixed(hash, tokens[place]) | 1)
      if sequences.counts[sequence] == 0 { types[context] += 1 }
      sequences.counts[sequence] += 1
    }
  }

  /// Makes probabilities of the text's tokens by the order below those by this one.
  func refine(_ p: inout [Double], of text: [Int32]) {
    let discount = NGramModel.discount
    for place in text.indices {
      let hash = context(text, place)
      guard let context = contexts.found(hash), contexts.counts[context] > 0 else { continue }
      let count = Double(contexts.counts[context])
      let seen = sequences.found(mixed(hash, text[place]) | 1).map { Double(sequences.counts[$0]) } ?? 0
      p[place] = max(seen - discount, 0) / count + discount * Double(types[context]) / count * p[place]
    }
  }

  /// A hash of the tokens before a place. Two that differ share a hash so seldom that it doesn't matter.
  private func context(_ tokens: [Int32], _ place: Int) -> UInt64 {
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
    for before in max(0, place - length)..<place { hash = mixed(hash, tokens[before]) }
    return hash
  }

  /// Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014: the finalizer of SplitMix64.
  private func mixed(_ hash: UInt64, _ token: Int32) -> UInt64 {
    var x = hash &+ (UInt64(UInt32(bitPattern: token)) &+ 1) &* 0x9E37_79B9_7F4A_7C15
    x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
    return x ^ (x >> 31)
  }
}

/// Counts by key, in open addressing; no key is 0.
private struct Table {
  private var keys = [UInt64](repeating: 0, count: 1024)
  private var used = 0
  var counts = [UInt32](repeating: 0, count: 1024)

  var capacity: Int { keys.count }

  func found(_ key: UInt64) -> Int? {
    let place = firstPlace(of: key)
    return keys[place] == 0 ? nil : place
  }

  /// Makes room for a key that is new; places found before may be others then.
  mutating func place(of key: UInt64) -> Int {
    var place = firstPlace(of: key)
    guard keys[place] == 0 else { return place }
    if 2 * used >= keys.count {
      grow()
      place = firstPlace(of: key)
    }
    used += 1
    keys[place] = key
    return place
  }

  /// Where a key is, or where it would go.
  private func firstPlace(of key: UInt64) -> Int {
    let mask = keys.count - 1
    var place = Int(truncatingIfNeeded: key >> 20) & mask
    while keys[place] != 0, keys[place] != key { place = (place + 1) & mask }
    return place
  }

  private mutating func grow() {
    let (oldKeys, oldCounts) = (keys, counts)
    keys = [UInt64](repeating: 0, count: 2 * oldKeys.count)
    counts = [UInt32](repeating: 0, count: keys.count)
    for (key, count) in zip(oldKeys, oldCounts) where key != 0 {
      let place = firstPlace(of: key)
      (keys[place], counts[place]) = (key, count)
    }
  }
}
