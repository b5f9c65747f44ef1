package import Compute

/// An ``OpCase`` that has run once.
package struct OpRun {
  package let execution: any Execution
  package let parameters: any ParameterStore
  package let states: any ParameterStore

  /// - Parameter prepared: called before anything is set.
  package init(
    _ opCase: OpCase, _ op: OpProgram, on executor: some Executor, prepared: (any Execution) -> Void = { _ in }
  ) throws {
    parameters = try executor.makeParameters(op.program.graph.parameters, training: true)
    states = try executor.makeParameters(op.program.graph.states, training: false)
    execution = try executor.prepare(op.program, parameters: parameters, states: states)
    prepared(execution)
    try op.fill(execution, parameters, states, opCase)
    try execution.run(RunContext(seed: 5, microStep: 3))
  }

  /// What must agree between executors: outputs, gradients and states.
  package func compared(_ op: OpProgram) -> [(name: String, node: Node)] {
    let graph = op.program.graph
    let states = graph.infos.indices.filter { if case .state = graph.infos[$0].role { true } else { false } }
    return op.outputs.map { ("output", $0) } + op.inputGradients.map { ("d" + graph[$0.input].name, $0.gradient) }
      + op.parameterGradients.map { ("d" + graph[$0.parameter].name, $0.gradient) }
      + states.map { (graph.infos[$0].name, Node(id: $0)) }
  }

  package func values(_ node: Node) throws -> [Float] {
    let graph = execution.program.graph
    switch graph[node].role {
    case .parameter(let index): return try parameters.read(.weights, graph.parameters.entries[index])
    case .gradient(let index): return try parameters.read(.gradients, graph.parameters.entries[index])
    case .state(let index): return try states.read(.weights, graph.states.entries[index])
    case .input, .intermediate, .result: return try execution.get(node)
    }
  }

  package func paddingIsZero() throws -> Bool {
    let layout = parameters.layout
    var all = [Float](repeating: 0, count: layout.count)
    try all.withUnsafeMutableBufferPointer { try parameters.read(.gradients, at: 0, into: $0) }
    for entry in layout.entries { for index in 0..<entry.shape.count { all[entry.offset + index] = 0 } }
    return all.allSatisfy { $0 == 0 }
  }
}
