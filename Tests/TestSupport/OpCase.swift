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
  /// ‖x − y‖∞ ÷ ‖y‖∞ that an executor may be off in fp32.
  package var tolerance: Double
  /// Of several operations: what passes from one to the next is rounded in halves, and so are all gradients' sources.
  package var isChain: Bool
  /// Builds the operation and returns its outputs.
  package let build: @Sendable (inout Graph) throws -> [Node]
  /// Whether a gradient rule is to be tested as well; a head's loss starts one by itself.
  package var backward: Backward

  package enum Backward: Sendable { case none, seeded, loss }

  package init(
    _ name: String, parameters: [(String, Shape)] = [], states: [(String, Shape)] = [],
    integers: [String: [Int32]] = [:], floats: [String: [Float]] = [:], tolerance: Double = 1e-5,
    isChain: Bool = false, backward: Backward = .seeded, build: @escaping @Sendable (inout Graph) throws -> [Node]
  ) {
    self.name = name
    self.parameters = parameters
    self.states = states
    self.integers = integers
    self.floats = floats
    self.tolerance = tolerance
    self.isChain = isChain
    self.backward = backward
    self.build = build
  }

  package var description: String { name }

  /// What an executor may be off in values of a dtype.
  package func tolerance(_ dtype: DType) -> Double {
    switch dtype {
    case .float32, .int32: tolerance
    case .bfloat16: isChain ? 3e-2 : 8e-3
    case .float16: isChain ? 4e-3 : 1e-3
    }
  }
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
  /// What inputs, weights and states are set to on every device. What the precision rounds is round already.
  private let inputs: [(node: Node, values: [Float])]
  private let weights, states: [[Float]]

  package init(_ opCase: OpCase, precision: Precision = .fp32, guardBytes: Int = 64) throws {
    var graph = Graph(
      parameters: Self.layout(opCase.parameters), states: Self.layout(opCase.states), precision: precision)
    outputs = try opCase.build(&graph)
    for output in outputs { graph.keep(output) }
    var seeds: [Node] = []
    var gradients: [Node: Node] = [:]
    switch opCase.backward {
    case .none: break
    case .seeded:
      for (index, output) in outputs.enumerated() {
        seeds.append(graph.input("seed\(index)", graph.shape(output), graph[output].dtype))
      }
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
    program = Program(graph, guardBytes: guardBytes)
    inputs = graph.infos.enumerated().filter { $1.role == .input && $1.dtype != .int32 }.map { index, info in
      let values = opCase.floats[info.name] ?? normals(info.shape.count, seed: 11, stream: UInt32(index))
      return (Node(id: index), values.map { $0.rounded(to: info.dtype) })
    }
    weights = opCase.parameters.enumerated().map { index, tensor in
      let values = normals(tensor.1.count, seed: 11, stream: 1000 + UInt32(index))
      return values.map { $0.rounded(to: precision.dtype) }
    }
    states = opCase.states.enumerated().map { index, tensor in
      normals(tensor.1.count, seed: 11, stream: 2000 + UInt32(index))
    }
  }

  /// What an executor may be off in a value. Gradients of weights are fp32, but the head's come from halves.
  package func tolerance(_ node: Node, _ opCase: OpCase) -> Double {
    let graph = program.graph
    guard opCase.backward == .loss || opCase.isChain, case .gradient = graph[node].role else {
      return opCase.tolerance(graph[node].dtype)
    }
    return opCase.tolerance(graph.precision.dtype)
  }

  private static func layout(_ tensors: [(String, Shape)]) -> TensorLayout {
    var layout = TensorLayout()
    for (name, shape) in tensors { layout.add(name, shape) }
    return layout
  }

  /// Sets all inputs, weights and states of an execution.
  package func fill(
    _ execution: any Execution, _ parameters: any ParameterStore, _ states: any ParameterStore, _ opCase: OpCase
  ) throws(ComputeError) {
    for (index, info) in program.graph.infos.enumerated() where info.role == .input && info.dtype == .int32 {
      try execution.set(
        Node(id: index), opCase.integers[info.name] ?? [Int32](repeating: 0, count: info.shape.count))
    }
    for input in inputs { try execution.set(input.node, input.values) }
    for (entry, values) in zip(parameters.layout.entries, weights) { try parameters.write(.weights, entry, values) }
    for (entry, values) in zip(states.layout.entries, self.states) { try states.write(.weights, entry, values) }
  }
}
