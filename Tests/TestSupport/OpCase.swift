package import Compute

/// One operation with operands: the table entry from which comparison with the reference, finite differences and
/// benchmarks are made.
package struct OpCase: Sendable, CustomStringConvertible {
  package let name: String
  /// Weights, which get gradients in the flat buffer.
  package var parameters: [(String, Shape)]
  /// Buffers that outlive a run.
  package var states: [(String, Shape)]
  /// Values of int32 inputs, by name.
  package var integers: [String: [Int32]]
  /// Values of fp32 inputs, by name; the others are drawn from N(0, 1).
  package var floats: [String: [Float]]
  /// ‖x − y‖∞ ÷ ‖y‖∞ that an fp32 executor may be off.
  package var tolerance: Double
  /// Builds the operation and returns its outputs.
  package let build: @Sendable (inout Graph) throws -> [Node]
  /// Whether a gradient rule is to be tested as well; a head's loss starts one by itself.
  package var backward: Backward

  package enum Backward: Sendable { case none, seeded, loss }

  package init(
    _ name: String, parameters: [(String, Shape)] = [], states: [(String, Shape)] = [],
    integers: [String: [Int32]] = [:], floats: [String: [Float]] = [:], tolerance: Double = 1e-5,
    backward: Backward = .seeded, build: @escaping @Sendable (inout Graph) throws -> [Node]
  ) {
    self.name = name
    self.parameters = parameters
    self.states = states
    self.integers = integers
    self.floats = floats
    self.tolerance = tolerance
    self.backward = backward
    self.build = build
  }

  package var description: String { name }
}

/// An ``OpCase`` as a program, forward and backward.
package struct OpProgram {
  package let program: Program
  package let outputs: [Node]
  /// Gradients that arrive at the outputs, inputs themselves.
  package let seeds: [Node]
  /// Each fp32 input with its gradient.
  package let inputGradients: [(input: Node, gradient: Node)]
  /// Each parameter with its gradient.
  package let parameterGradients: [(parameter: Node, gradient: Node)]

  package init(_ opCase: OpCase, guardCount: Int = 16) throws {
    var graph = Graph(parameters: Self.layout(opCase.parameters), states: Self.layout(opCase.states))
    outputs = try opCase.build(&graph)
    for output in outputs { graph.keep(output) }
    var seeds: [Node] = []
    var gradients: [Node: Node] = [:]
    switch opCase.backward {
    case .none: break
    case .seeded:
      for (index, output) in outputs.enumerated() { seeds.append(graph.input("seed\(index)", graph.shape(output))) }
      gradients = try graph.differentiate(seeds: zip(outputs, seeds).map { (value: $0, gradient: $1) })
    case .loss:
      gradients = try graph.differentiate()
    }
    self.seeds = seeds
    inputGradients = gradients.filter { graph[$0.key].role == .input }.map { (input: $0.key, gradient: $0.value) }
    var parameterGradients: [(parameter: Node, gradient: Node)] = []
    if opCase.backward != .none {
      for (name, _) in opCase.parameters {
        let parameter = try graph.parameter(name)
        parameterGradients.append((parameter, graph.gradient(of: parameter)))
      }
    }
    self.parameterGradients = parameterGradients
    program = Program(graph, guardCount: guardCount)
  }

  private static func layout(_ tensors: [(String, Shape)]) -> TensorLayout {
    var layout = TensorLayout()
    for (name, shape) in tensors { layout.add(name, shape) }
    return layout
  }

  /// Sets all inputs, weights and states of an execution; the same seed gives the same values on every device.
  package func fill(
    _ execution: any Execution, _ parameters: any ParameterStore, _ states: any ParameterStore, _ opCase: OpCase,
    seed: UInt64
  ) {
    let graph = program.graph
    for (index, info) in graph.infos.enumerated() where info.role == .input {
      let node = Node(id: index)
      switch info.dtype {
      case .int32:
        execution.set(node, opCase.integers[info.name] ?? [Int32](repeating: 0, count: info.shape.count))
      case .float32:
        execution.set(
          node, opCase.floats[info.name] ?? normals(info.shape.count, seed: seed, stream: UInt32(index)))
      }
    }
    for (index, entry) in parameters.layout.entries.enumerated() {
      parameters.write(.weights, entry, normals(entry.shape.count, seed: seed, stream: 1000 + UInt32(index)))
    }
    for (index, entry) in states.layout.entries.enumerated() {
      states.write(.weights, entry, normals(entry.shape.count, seed: seed, stream: 2000 + UInt32(index)))
    }
  }
}
