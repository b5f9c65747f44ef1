/// y = a + b.
package struct Add: Operands {
  package let a, b, y: Node

  package var reads: [Node?] { [a, b] }
  package var writes: [Node?] { [y] }
  package var inPlace: (output: Node, inputs: [Node?])? { (y, [a, b]) }
}

/// y = x·mask / (1 − rate), its own gradient: the mask is a function of (seed, micro-step, site, element), drawn again
/// in the backward pass and stored nowhere. Srivastava et al., "Dropout", JMLR 15 (2014).
package struct Dropout: Operands {
  package let rate: Float
  package let site: UInt32
  package let x, y: Node

  package var reads: [Node?] { [x] }
  package var writes: [Node?] { [y] }
  package var inPlace: (output: Node, inputs: [Node?])? { (y, [x]) }
}

extension Graph {
  /// y = a + b.
  ///
  /// - Throws: ``ComputeError/shape(op:expected:got:)`` unless both have one shape.
  package mutating func add(_ a: Node, _ b: Node) throws(ComputeError) -> Node {
    guard shape(a) == shape(b) else {
      throw .shape(op: "add", expected: "two of \(shape(a))", got: "\(shape(b))")
    }
    let y = intermediate("add", shape(a))
    operations.append(.add(Add(a: a, b: b, y: y)))
    return y
  }

  /// Zeroes elements at random with probability `rate` and scales the others by 1/(1 − rate).
  ///
  /// - Throws: ``ComputeError/setting(op:problem:)`` unless 0 ≤ rate < 1.
  package mutating func dropout(_ x: Node, rate: Float) throws(ComputeError) -> Node {
    guard rate >= 0, rate < 1 else { throw .setting(op: "dropout", problem: "the rate \(rate) is not in 0..<1") }
    guard rate > 0 else { return x }
    let y = intermediate("dropout", shape(x))
    operations.append(.dropout(Dropout(rate: rate, site: dropoutSites, x: x, y: y)))
    dropoutSites += 1
    return y
  }
}
