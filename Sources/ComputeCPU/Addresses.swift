import Compute

/// Where the values of a program are, by what kernels take them for.
struct Addresses {
  let graph: Graph
  /// Byte offsets in the arena.
  let offsets: [Int?]
  let arena: UnsafeMutableRawPointer
  let parameters: CPUStore
  let states: CPUStore?

  init(_ program: Program, arena: UnsafeMutableRawPointer, parameters: CPUStore, states: CPUStore?) {
    graph = program.graph
    offsets = program.memory.offsets
    self.arena = arena
    self.parameters = parameters
    self.states = states
  }

  /// A value, whatever it is.
  func any(_ node: Node) -> UnsafeMutableRawPointer {
    switch graph[node].role {
    case .input, .intermediate, .result:
      guard let offset = offsets[node.id] else { preconditionFailure("\(graph[node].name) is never written") }
      return arena + offset
    case .parameter(let index):
      return UnsafeMutableRawPointer(parameters.floats(.weights) + graph.parameters.entries[index].offset)
    case .gradient(let index):
      return UnsafeMutableRawPointer(parameters.floats(.gradients) + graph.parameters.entries[index].offset)
    case .state(let index):
      guard let states else { preconditionFailure("the program needs a state") }
      return UnsafeMutableRawPointer(states.floats(.weights) + graph.states.entries[index].offset)
    }
  }

  /// An activation or the gradient of one, in the program's precision.
  func activation(_ node: Node) -> UnsafeMutableRawPointer {
    checked(node, graph.precision.dtype)
  }

  func activation(_ node: Node?) -> UnsafeMutableRawPointer? { node.map { activation($0) } }

  /// An activation from a column on.
  func activation(_ node: Node, column: Int) -> UnsafeMutableRawPointer {
    activation(node) + column * graph.precision.dtype.size
  }

  /// A weight as products and lookups read it: in the program's precision.
  func operand(_ node: Node) -> UnsafeRawPointer {
    guard case .parameter(let index) = graph[node].role else { return UnsafeRawPointer(activation(node)) }
    return parameters.operand(at: graph.parameters.entries[index].offset, graph.precision)
  }

  func floats(_ node: Node) -> UnsafeMutablePointer<Float> {
    checked(node, .float32).assumingMemoryBound(to: Float.self)
  }

  func floats(_ node: Node?) -> UnsafeMutablePointer<Float>? { node.map { floats($0) } }

  func integers(_ node: Node) -> UnsafePointer<Int32> {
    UnsafePointer(checked(node, .int32).assumingMemoryBound(to: Int32.self))
  }

  private func checked(_ node: Node, _ dtype: DType) -> UnsafeMutableRawPointer {
    precondition(graph[node].dtype == dtype, "\(graph[node].name) is \(graph[node].dtype), not \(dtype)")
    return any(node)
  }
}
