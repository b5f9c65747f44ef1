internal import CKernels
package import Compute
import Foundation

/// A program bound to an arena: a list of kernel calls with every address known.
package final class CPUExecution: Execution {
  package let program: Program
  private let executor: CPUExecutor
  private let arena: FloatMemory
  private let workspace: FloatMemory
  private let parameters: CPUStore
  private let states: CPUStore?
  private let instructions: [Instruction]
  /// Which instructions do the work of which operation, for a profile.
  private let spans: [Span]

  private struct Span {
    let kind: String
    let flops: Double
    let instructions: Range<Int>
  }

  init(
    _ program: Program, parameters: CPUStore, states: CPUStore?, executor: CPUExecutor
  ) throws(ComputeError) {
    let graph = program.graph
    self.program = program
    self.executor = executor
    self.parameters = parameters
    self.states = states
    let arena = try FloatMemory(count: program.memory.count, purpose: "activations")
    let workspace = try FloatMemory(
      count: graph.operations.map { $0.workspace(in: graph) }.max() ?? 0, purpose: "the head's logits")
    try executor.reserve(graph.operations.map { $0.scratch(in: graph) }.max() ?? 0)

    let base = arena.pointer
    var instructions: [Instruction] = []
    var spans: [Span] = []
    for operation in graph.operations {
      let lowering = Lowering(
        graph: graph,
        address: { Self.address($0, program, arena: base, parameters, states) },
        rotaryTable: { (frequencies, positions) throws(ComputeError) in
          try executor.rotaryTable(frequencies, positions: positions)
        },
        headWorkspace: workspace.pointer)
      let first = instructions.count
      instructions += try lowering.lower(operation)
      spans.append(
        Span(kind: operation.kind, flops: operation.flops(in: graph), instructions: first..<instructions.count))
    }
    self.arena = arena
    self.workspace = workspace
    self.instructions = instructions
    self.spans = spans
  }

  private static func address(
    _ node: Node, _ program: Program, arena: UnsafeMutablePointer<Float>, _ parameters: CPUStore,
    _ states: CPUStore?
  ) -> UnsafeMutablePointer<Float> {
    let graph = program.graph
    switch graph[node].role {
    case .input, .intermediate, .result:
      guard let offset = program.memory.offsets[node.id] else {
        preconditionFailure("\(graph[node].name) is never written")
      }
      return arena + offset
    case .parameter(let index): return parameters.pointer(.weights) + graph.parameters.entries[index].offset
    case .gradient(let index): return parameters.pointer(.gradients) + graph.parameters.entries[index].offset
    case .state(let index):
      guard let states else { preconditionFailure("the program needs a state") }
      return states.pointer(.weights) + graph.states.entries[index].offset
    }
  }

  private func address(_ node: Node) -> UnsafeMutablePointer<Float> {
    Self.address(node, program, arena: arena.pointer, parameters, states)
  }

  package func set(_ input: Node, _ values: UnsafeBufferPointer<Int32>) {
    let info = program.graph[input]
    precondition(info.role == .input && info.dtype == .int32 && values.count == info.shape.count)
    guard let source = values.baseAddress else { return }
    UnsafeMutableRawPointer(address(input)).copyMemory(from: source, byteCount: values.count * 4)
  }

  package func set(_ input: Node, _ values: UnsafeBufferPointer<Float>) {
    let info = program.graph[input]
    precondition(info.role == .input && info.dtype == .float32 && values.count == info.shape.count)
    guard let source = values.baseAddress else { return }
    address(input).update(from: source, count: values.count)
  }

  package func get(_ result: Node, into destination: UnsafeMutableBufferPointer<Float>) {
    precondition(destination.count <= program.graph.shape(result).count)
    destination.baseAddress?.update(from: address(result), count: destination.count)
  }

  package func run(_ context: RunContext) {
    if let profile = executor.profile, profile.isOn {
      for span in spans { profile.time(span.kind, flops: span.flops) { run(span.instructions, context) } }
    } else {
      run(instructions.indices, context)
    }
  }

  private func run(_ range: Range<Int>, _ context: RunContext) {
    for index in range { instructions[index].run(context, executor.kernels, executor.pool) }
  }
}

extension CPUExecution {
  /// A NaN of our own, so that reading what was never written shows.
  private static var poison: UInt32 { 0x7FC0_BEEF }

  /// For tests: marks the whole arena as never written.
  package func poison() {
    for index in 0..<arena.count { arena.pointer[index] = Float(bitPattern: Self.poison) }
  }

  /// For tests: the first element of the arena that was written since ``poison()`` and belongs to no value.
  package var firstStrayWrite: Int? {
    var free = [Bool](repeating: true, count: arena.count)
    for range in program.memory.occupied { for index in range { free[index] = false } }
    return free.indices.first { free[$0] && arena.pointer[$0].bitPattern != Self.poison }
  }
}
