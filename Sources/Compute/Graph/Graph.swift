/// A handle of a value in a ``Graph``.
package struct Node: Hashable, Sendable {
  package let id: Int

  package init(id: Int) { self.id = id }
}

/// Operations over values, in the order in which they run. Built once per shape, then differentiated and planned.
///
/// Every value is written by one operation, or comes from outside (an input, a parameter, a state).
package struct Graph: Sendable {
  /// Where a value lives.
  package enum Role: Hashable, Sendable {
    /// Written by the host before a run.
    case input
    /// A view into the flat weights.
    case parameter(Int)
    /// A view into the flat gradients: the gradient of the parameter with this index.
    case gradient(Int)
    /// A view into buffers that outlive a run (a key/value cache).
    case state(Int)
    /// In the arena, only as long as somebody needs it.
    case intermediate
    /// In the arena until the end of the run, for the host to read.
    case result
  }

  package struct Info: Sendable {
    package let name: String
    package let shape: Shape
    package let dtype: DType
    package var role: Role

    package var byteCount: Int { shape.count * dtype.size }
  }

  /// Of activations and their gradients.
  package let precision: Precision
  package let parameters: TensorLayout
  package let states: TensorLayout
  package private(set) var infos: [Info] = []
  package var operations: [Operation] = []
  private var external: [Role: Node] = [:]
  /// Dropout sites so far: each draws from random numbers of its own.
  package var dropoutSites: UInt32 = 0

  package init(parameters: TensorLayout, states: TensorLayout = TensorLayout(), precision: Precision = .fp32) {
    self.precision = precision
    self.parameters = parameters
    self.states = states
  }

  package subscript(node: Node) -> Info { infos[node.id] }
  package func shape(_ node: Node) -> Shape { infos[node.id].shape }

  // MARK: Values

  /// - Parameter dtype: nil is that of activations.
  package mutating func input(_ name: String, _ shape: Shape, _ dtype: DType? = nil) -> Node {
    add(Info(name: name, shape: shape, dtype: dtype ?? precision.dtype, role: .input))
  }

  /// - Parameter dtype: nil is that of activations.
  package mutating func intermediate(_ name: String, _ shape: Shape, _ dtype: DType? = nil) -> Node {
    add(Info(name: name, shape: shape, dtype: dtype ?? precision.dtype, role: .intermediate))
  }

  /// - Throws: ``ComputeError/unknownTensor(name:)``.
  package mutating func parameter(_ name: String) throws(ComputeError) -> Node {
    guard let index = parameters.index(of: name) else { throw .unknownTensor(name: name) }
    return view(parameters.entries[index], .parameter(index))
  }

  /// - Throws: ``ComputeError/unknownTensor(name:)``.
  package mutating func state(_ name: String) throws(ComputeError) -> Node {
    guard let index = states.index(of: name) else { throw .unknownTensor(name: name) }
    return view(states.entries[index], .state(index))
  }

  /// The gradient of a parameter.
  package mutating func gradient(of parameter: Node) -> Node {
    guard case .parameter(let index) = self[parameter].role else {
      preconditionFailure("\(self[parameter].name) is no parameter")
    }
    return view(parameters.entries[index], .gradient(index))
  }

  /// Keeps a value until the end of the run, for the host to read.
  package mutating func keep(_ node: Node) {
    if infos[node.id].role == .intermediate { infos[node.id].role = .result }
  }

  private mutating func view(_ entry: TensorLayout.Entry, _ role: Role) -> Node {
    if let known = external[role] { return known }
    let node = add(Info(name: entry.name, shape: entry.shape, dtype: .float32, role: role))
    external[role] = node
    return node
  }

  private mutating func add(_ info: Info) -> Node {
    infos.append(info)
    return Node(id: infos.count - 1)
  }
}
