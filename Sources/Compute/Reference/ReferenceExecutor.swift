/// The definition of every operation: plain loops in fp64, as close to the equations as code can be, however slow.
/// Every other executor is an acceleration of this one. It knows one precision, whatever the program's.
package final class ReferenceExecutor: Executor {
  package init() {}

  package var deviceDescription: String { "fp64 reference" }

  package var runsAhead: Bool { false }

  package var fastestPrecision: Precision { .fp32 }

  package func makeParameters(
    _ layout: TensorLayout, training: Bool, moments: Precision = .fp32
  ) -> any ParameterStore {
    ReferenceStore(layout)
  }

  package func prepare(
    _ program: Program, parameters: any ParameterStore, states: (any ParameterStore)?
  ) -> any Execution {
    guard let parameters = parameters as? ReferenceStore else {
      preconditionFailure("parameters of another executor")
    }
    return ReferenceExecution(program, parameters: parameters, states: states as? ReferenceStore)
  }
}

package final class ReferenceExecution: Execution {
  package let program: Program
  private let parameters: ReferenceStore
  private let states: ReferenceStore?
  /// Values of the arena by node id; int32 ones in `integers`.
  private var values: [[Double]]
  private var integers: [[Int]]

  init(_ program: Program, parameters: ReferenceStore, states: ReferenceStore?) {
    self.program = program
    self.parameters = parameters
    self.states = states
    values = program.graph.infos.map { info in
      switch info.role {
      case .input, .intermediate, .result:
        info.dtype == .int32 ? [] : [Double](repeating: 0, count: info.shape.count)
      case .parameter, .gradient, .state: []
      }
    }
    integers = program.graph.infos.map { $0.dtype == .int32 ? [Int](repeating: 0, count: $0.shape.count) : [] }
  }

  // MARK: Host's side

  package func set(_ input: Node, _ values: UnsafeBufferPointer<Int32>) {
    precondition(values.count == integers[input.id].count)
    integers[input.id] = values.map(Int.init)
  }

  package func set(_ input: Node, _ values: UnsafeBufferPointer<Float>) {
    precondition(values.count == self.values[input.id].count)
    self.values[input.id] = values.map(Double.init)
  }

  package func get(_ result: Node, into destination: UnsafeMutableBufferPointer<Float>) {
    let source = self[result]
    for index in destination.indices { destination[index] = Float(source[index]) }
  }

  // MARK: Values

  /// A value in full precision.
  package subscript(node: Node) -> [Double] {
    get {
      let info = program.graph[node]
      switch info.role {
      case .input, .intermediate, .result: return values[node.id]
      case .parameter(let index): return Array(parameters[.weights][range(program.graph.parameters, index)])
      case .gradient(let index): return Array(parameters[.gradients][range(program.graph.parameters, index)])
      case .state(let index): return Array(states?[.weights][range(program.graph.states, index)] ?? [])
      }
    }
    set {
      let info = program.graph[node]
      precondition(newValue.count == info.shape.count)
      switch info.role {
      case .input, .intermediate, .result: values[node.id] = newValue
      case .parameter(let index):
        parameters[.weights].replaceSubrange(range(program.graph.parameters, index), with: newValue)
      case .gradient(let index):
        parameters[.gradients].replaceSubrange(range(program.graph.parameters, index), with: newValue)
      case .state(let index):
        states?[.weights].replaceSubrange(range(program.graph.states, index), with: newValue)
      }
    }
  }

  func integers(_ node: Node) -> [Int] { integers[node.id] }
  func optional(_ node: Node?) -> [Double]? { node.map { self[$0] } }

  /// Adds to, or overwrites, the gradient of a parameter.
  func store(_ gradient: [Double], in slot: GradientSlot?, _ context: RunContext) {
    guard let slot else { return }
    self[slot.node] = slot.adds(in: context) ? zip(self[slot.node], gradient).map(+) : gradient
  }

  private func range(_ layout: TensorLayout, _ index: Int) -> Range<Int> {
    let entry = layout.entries[index]
    return entry.offset..<entry.offset + entry.shape.count
  }

  /// Adds a micro-step's share of an update's loss.
  private func note(_ op: HeadLoss, _ context: RunContext) {
    let (weights, normalizer) = (self[op.weights], self[op.normalizer][0])
    func share(_ values: [Double]) -> Double { zip(weights, values).reduce(0) { $0 + $1.0 * $1.1 } / normalizer }
    if !context.accumulates { parameters.totals = UpdateReport() }
    parameters.totals.loss += share(self[op.losses])
    parameters.totals.accuracy += share(self[op.correct])
  }

  // MARK: Running

  package func run(_ context: RunContext) {
    for operation in program.graph.operations {
      switch operation {
      case .embedding(let op): run(op)
      case .embeddingGradient(let op): run(op, context)
      case .norm(let op): run(op)
      case .normGradient(let op): run(op, context)
      case .headNorm(let op): run(op)
      case .headNormGradient(let op): run(op, context)
      case .linear(let op): run(op)
      case .linearInputGradient(let op): run(op)
      case .linearWeightGradient(let op): run(op, context)
      case .rotary(let op): run(op)
      case .attention(let op): run(op, context)
      case .attentionGradient(let op): run(op, context)
      case .cachedAttention(let op): run(op)
      case .activation(let op): run(op)
      case .activationGradient(let op): run(op)
      case .dropout(let op): run(op, context)
      case .add(let op): self[op.y] = zip(self[op.a], self[op.b]).map(+)
      case .causalConvolution(let op): run(op)
      case .causalConvolutionGradient(let op): run(op, context)
      case .meanPool(let op): run(op)
      case .meanPoolGradient(let op): run(op)
      case .logits(let op): run(op)
      case .headLoss(let op):
        run(op, context)
        if op.gradients != nil { note(op, context) }
      }
    }
  }
}
