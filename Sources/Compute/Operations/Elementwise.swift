/// y = a + b.
package struct Add: Operands {
  package let a, b, y: Node

  package var reads: [Node?] { [a, b] }
  package var writes: [Node?] { [y] }
  package var inPlace: [Node: [Node?]] { [y: [a, b]] }
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
}
