import Compute

/// Where the values of a program are, by what kernels take them for.
struct Addresses {
  let graph: Graph
  /// Byte offsets in the arena.
  private let offsets: [Int?]
  private let arena: Address
  /// What changes from micro-step to micro-step: an `mf_run`.
  let run: Address
  /// Where losses are added up for the next update; nil where there are none.
  let state: Address?
  private let parameters: CUDAStore
  private let states: CUDAStore?

  init(_ program: Program, arena: Address, run: Address, parameters: CUDAStore, states: CUDAStore?) {
    graph = program.graph
    offsets = program.memory.offsets
    self.arena = arena
    self.run = run
    state = parameters.state
    self.parameters = parameters
    self.states = states
  }

  /// A value, whatever it is.
  func any(_ node: Node) -> Address {
    switch graph[node].role {
    case .input, .intermediate, .result:
      guard let offset = offsets[node.id] else { preconditionFailure("\(graph[node].name) is never written") }
      return arena + offset
    case .parameter(let index): return parameters.weight(at: graph.parameters.entries[index].offset)
    case .gradient(let index): return parameters.gradient(at: graph.parameters.entries[index].offset)
    case .state(let index):
      guard let states else { preconditionFailure("the program needs a state") }
      return states.weight(at: graph.states.entries[index].offset)
    }
  }

  /// An activation or the gradient of one, in the program's precision.
  func activation(_ node: Node) -> Address { checked(node, graph.precision.dtype) }
  func activation(_ node: Node?) -> Address? { node.map { activation($0) } }

  /// An activation from a column on.
  func activation(_ node: Node, column: Int) -> Address {
    activation(node) + column * graph.precision.dtype.size
  }

  /// A weight as products and lookups read it: in the program's precision.
  func operand(_ node: Node) -> Address {
    guard case .parameter(let index) = graph[node].role else { return activation(node) }
    return parameters.operand(at: graph.parameters.entries[index].offset, graph.precision)
  }

  func operand(_ node: Node?) -> Address? { node.map { operand($0) } }

  func floats(_ node: Node) -> Address { checked(node, .float32) }
  func floats(_ node: Node?) -> Address? { node.map { floats($0) } }
  func integers(_ node: Node) -> Address { checked(node, .int32) }

  private func checked(_ node: Node, _ dtype: DType) -> Address {
    precondition(graph[node].dtype == dtype, "\(graph[node].name) is \(graph[node].dtype), not \(dtype)")
    return any(node)
  }
}
