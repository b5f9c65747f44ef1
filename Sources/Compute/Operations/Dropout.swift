/// y = x·mask / (1 − rate), its own gradient: the mask is a function of (seed, micro-step, site, element), drawn again
/// in the backward pass and stored nowhere. Srivastava et al., "Dropout", JMLR 15 (2014).
package struct Dropout: Operands {
  package let rate: Float
  package let site: UInt32
  package let x, y: Node

  package var reads: [Node?] { [x] }
  package var writes: [Node?] { [y] }
  package var inPlace: [Node: [Node?]] { [y: [x]] }
}

/// Which elements one dropout keeps in one micro-step.
package struct DropoutMask: Sendable {
  private let philox: Philox
  private let site, step, threshold: UInt32
  /// What kept elements are multiplied by: 1/(1 − rate).
  package let scale: Double

  package init(rate: Float, site: UInt32, _ context: RunContext) {
    philox = Philox(seed: context.seed)
    (self.site, step) = (site, context.microStep)
    threshold = UInt32(Double(rate) * 0x1p32)
    scale = 1 / (1 - Double(rate))
  }

  /// 0 or `scale`, for element `index` of a value.
  package func factor(_ index: Int) -> Double {
    philox.word(UInt64(index), stream: site, step: step) >= threshold ? scale : 0
  }

  /// 0 or `scale`, for attention's probability of `key` for query row (b·H + h)·T + i.
  package func factor(queryRow: Int, key: Int) -> Double {
    let counter = SIMD4(UInt32(truncatingIfNeeded: key / 4), UInt32(truncatingIfNeeded: queryRow), site, step)
    return philox.words(counter)[key % 4] >= threshold ? scale : 0
  }
}

extension Graph {
  /// Zeroes elements at random with probability `rate` and scales the others by 1/(1 − rate).
  ///
  /// - Throws: ``ComputeError/setting(op:problem:)`` unless 0 ≤ rate < 1.
  package mutating func dropout(_ x: Node, rate: Float) throws(ComputeError) -> Node {
    guard rate != 0 else { return x }
    let site = try dropoutSite(rate: rate, op: "dropout")
    let y = intermediate("dropout", shape(x))
    operations.append(.dropout(Dropout(rate: rate, site: site, x: x, y: y)))
    return y
  }

  /// Random numbers that no other dropout of the graph draws from.
  mutating func dropoutSite(rate: Float, op: String) throws(ComputeError) -> UInt32 {
    guard rate >= 0, rate < 1 else { throw .setting(op: op, problem: "the dropout rate \(rate) is not in 0..<1") }
    defer { dropoutSites += 1 }
    return dropoutSites
  }
}
