import Compute
import TestSupport
import Testing

@Suite("Gradient rules")
struct GradientsTests {
  /// Runs y = graph(x), dy all ones, in fp64, with weights that depend on their position in the layout alone.
  private func gradients(
    _ layout: TensorLayout, sameWeights: Bool = false, accumulating: Bool = false, keepsActivations: Bool = false,
    _ build: (inout Graph, Node) throws -> Node
  ) throws -> (dx: [Double]?, parameters: [[Float]]) {
    var graph = Graph(parameters: layout)
    let x = graph.input("x", [3, 4])
    let y = try build(&graph, x)
    let seed = graph.input("dy", graph.shape(y))
    let dx = try graph.differentiate(seeds: [(y, seed)], keepsActivations: keepsActivations)[x]
    let executor = ReferenceExecutor()
    let store = executor.makeParameters(layout, training: true)
    for (index, entry) in layout.entries.enumerated() {
      try store.write(
        .weights, entry, normals(entry.shape.count, seed: 2, stream: sameWeights ? 0 : UInt32(index)))
    }
    let execution = executor.prepare(Program(graph), parameters: store, states: nil)
    try execution.set(x, normals(12, seed: 1))
    try execution.set(seed, normals(graph.shape(y).count, seed: 3))
    try execution.run(RunContext())
    if accumulating { try execution.run(RunContext(accumulates: true)) }
    return (
      dx.flatMap { (execution as? ReferenceExecution)?[$0] },
      try layout.entries.map { try store.read(.gradients, $0) }
    )
  }

  private func layout(_ names: [String], isTrainable: Bool = true) -> TensorLayout {
    var layout = TensorLayout()
    for name in names { layout.add(name, [4, 4], isTrainable: isTrainable) }
    return layout
  }

  @Test("add up where a weight is used twice", arguments: [false, true])
  func tied(accumulating: Bool) throws {
    func model(_ graph: inout Graph, _ x: Node, _ first: String, _ second: String) throws -> Node {
      let h = graph.activation(.silu, try graph.linear(x, weight: graph.parameter(first)))
      return try graph.linear(h, weight: graph.parameter(second))
    }
    let apart = try gradients(layout(["a", "b"]), sameWeights: true, accumulating: accumulating) {
      try model(&$0, $1, "a", "b")
    }
    let tied = try gradients(layout(["a"]), sameWeights: true, accumulating: accumulating) {
      try model(&$0, $1, "a", "a")
    }
    let sum = zip(apart.parameters[0], apart.parameters[1]).map { Double($0) + Double($1) }
    #expect(relativeError(tied.parameters[0], sum) < 1e-6)
    #expect(tied.dx == apart.dx)
  }

  @Test("add up where a value is used twice")
  func usedTwice() throws {
    func dx(_ build: (inout Graph, Node) throws -> Node) throws -> [Double] {
      try #require(try gradients(layout(["w"]), build).dx)
    }
    let silu = try dx { graph, x in graph.activation(.silu, try graph.norm(.rms, x, epsilon: 1e-5)) }
    let linear = try dx { graph, x in
      try graph.linear(graph.norm(.rms, x, epsilon: 1e-5), weight: graph.parameter("w"))
    }
    let both = try dx { graph, x in
      let h = try graph.norm(.rms, x, epsilon: 1e-5)
      // The activation's rule can't add; it comes first in the backward pass.
      let product = try graph.linear(h, weight: graph.parameter("w"))
      return try graph.add(product, graph.activation(.silu, h))
    }
    for (sum, parts) in zip(both, zip(silu, linear)) { #expect(abs(sum - parts.0 - parts.1) < 1e-12) }
    let doubled = try dx { graph, x in try graph.add(x, x) }
    let dy = normals(12, seed: 3)
    for (value, seed) in zip(doubled, dy) { #expect(value == 2 * Double(seed)) }
  }

  @Test("pass through a constant, which gets none itself")
  func constants() throws {
    let trained = try gradients(layout(["w"])) { try $0.linear($1, weight: $0.parameter("w")) }
    let constant = try gradients(layout(["w"], isTrainable: false)) { try $0.linear($1, weight: $0.parameter("w")) }
    #expect(trained.dx == constant.dx)
    #expect(trained.parameters[0].contains { $0 != 0 })
    #expect(constant.parameters[0].allSatisfy { $0 == 0 })
  }

  @Test("are the same where what activations gave is kept, and nothing is made again then")
  func kept() throws {
    func perceptron(_ graph: inout Graph, _ x: Node) throws -> Node {
      let hidden = try graph.linear(x, weight: graph.parameter("up"))
      return try graph.linear(graph.activation(.geluTanh, hidden), weight: graph.parameter("down"))
    }
    let layout = layout(["up", "down"])
    let (made, kept) = try (gradients(layout, perceptron), gradients(layout, keepsActivations: true, perceptron))
    #expect(made.dx == kept.dx && made.parameters == kept.parameters)
    for keepsActivations in [false, true] {
      var graph = Graph(parameters: layout)
      let y = try perceptron(&graph, graph.input("x", [3, 4]))
      try graph.differentiate(seeds: [(y, graph.input("dy", graph.shape(y)))], keepsActivations: keepsActivations)
      let again = graph.operations.contains { if case .activationGradient(let op) = $0 { op.y != nil } else { false } }
      #expect(again == !keepsActivations)
    }
  }

  @Test("cost nothing where nothing is known to flow back")
  func unseeded() throws {
    var graph = Graph(parameters: layout(["w"]))
    let x = graph.input("x", [3, 4])
    let y = try graph.linear(x, weight: graph.parameter("w"))
    _ = graph.activation(.relu, y)
    let forward = graph.operations.count
    #expect(try graph.differentiate().isEmpty)
    #expect(graph.operations.count == forward)
  }
}
