internal import CKernels
package import Compute

/// A program bound to an arena: a list of kernel calls with every address known.
package final class CPUExecution: Execution {
  package let program: Program
  private let executor: CPUExecutor
  /// Those of the program's precision.
  private let kernels: mf_kernels
  private let arena: SystemMemory
  private let workspace: SystemMemory
  private let addresses: Addresses
  private let instructions: [Instruction]
  /// Which instructions do the work of which operation, for a profile.
  private let spans: [Span]
  private let parameters: CPUStore
  /// What is minimised, by the losses whose gradients the program computes.
  private let losses: [LossTotal]

  private struct Span {
    let kind: String
    let flops: Double
    let instructions: Range<Int>
  }

  private struct LossTotal {
    let rows: Int
    let losses, correct, weights, normalizer: UnsafePointer<Float>

    /// Σ weight·loss / normalizer, and the same of hits.
    var share: UpdateReport {
      var share = UpdateReport()
      // Not multiplied where nothing counts: NaN stays out.
      for row in 0..<rows where weights[row] != 0 {
        share.loss += Double(weights[row]) * Double(losses[row])
        share.accuracy += Double(weights[row]) * Double(correct[row])
      }
      share.loss /= Double(normalizer.pointee)
      share.accuracy /= Double(normalizer.pointee)
      return share
    }
  }

  init(
    _ program: Program, parameters: CPUStore, states: CPUStore?, executor: CPUExecutor
  ) throws(ComputeError) {
    let graph = program.graph
    self.program = program
    self.executor = executor
    kernels = executor.kernels(graph.precision)
    let arena = try SystemMemory(bytes: program.memory.byteCount, purpose: "activations")
    let workspace = try SystemMemory(
      floats: graph.operations.map { $0.workspace(in: graph) }.max() ?? 0, purpose: "the head's logits")
    try executor.reserve(graph.operations.map { $0.scratch(in: graph) }.max() ?? 0)
    try parameters.keepOperands(graph.precision)

    addresses = Addresses(program, arena: arena.pointer, parameters: parameters, states: states)
    let lowering = Lowering(
      addresses,
      rotaryTable: { (frequencies, positions) throws(ComputeError) in
        try executor.rotaryTable(frequencies, positions: positions)
      },
      headWorkspace: workspace.floats)
    var instructions: [Instruction] = []
    var spans: [Span] = []
    for operation in graph.operations {
      let first = instructions.count
      instructions += try lowering.lower(operation)
      spans.append(
        Span(kind: operation.kind, flops: operation.flops(in: graph), instructions: first..<instructions.count))
    }
    self.parameters = parameters
    let addresses = addresses
    losses = graph.operations.compactMap { operation in
      guard case .headLoss(let op) = operation, op.gradients != nil else { return nil }
      return LossTotal(
        rows: graph.shape(op.losses).count, losses: addresses.floats(op.losses), correct: addresses.floats(op.correct),
        weights: addresses.floats(op.weights), normalizer: addresses.floats(op.normalizer))
    }
    self.arena = arena
    self.workspace = workspace
    self.instructions = instructions
    self.spans = spans
  }

  package func set(_ input: Node, _ values: UnsafeBufferPointer<Int32>) {
    let info = program.graph[input]
    precondition(info.role == .input && info.dtype == .int32 && values.count == info.shape.count)
    guard let source = values.baseAddress else { return }
    addresses.any(input).copyMemory(from: source, byteCount: info.byteCount)
  }

  package func set(_ input: Node, _ values: UnsafeBufferPointer<Float>) {
    let info = program.graph[input]
    precondition(info.role == .input && info.dtype != .int32 && values.count == info.shape.count)
    guard let source = values.baseAddress else { return }
    if info.dtype == .float32 {
      addresses.any(input).copyMemory(from: source, byteCount: info.byteCount)
    } else {
      kernels.narrow(executor.pool, Int64(values.count), source, addresses.activation(input))
    }
  }

  package func get(_ result: Node, into destination: UnsafeMutableBufferPointer<Float>) {
    let info = program.graph[result]
    precondition(info.dtype != .int32 && destination.count <= info.shape.count)
    guard let address = destination.baseAddress else { return }
    if info.dtype == .float32 {
      address.update(from: addresses.floats(result), count: destination.count)
    } else {
      kernels.widen(executor.pool, Int64(destination.count), addresses.activation(result), address)
    }
  }

  package func run(_ context: RunContext) {
    if let profile = executor.profile, profile.isOn {
      for span in spans { profile.time(span.kind, flops: span.flops) { run(span.instructions, context) } }
    } else {
      run(instructions.indices, context)
    }
    for (index, loss) in losses.enumerated() {
      parameters.note(loss.share, adds: context.accumulates || index > 0)
    }
  }

  private func run(_ range: Range<Int>, _ context: RunContext) {
    for index in range { instructions[index].run(context, kernels, executor.pool) }
  }
}

extension CPUExecution {
  /// A NaN of our own in every precision, so that reading what was never written shows.
  private static var poison: UInt16 { 0x7FEB }

  private var units: UnsafeMutableBufferPointer<UInt16> {
    UnsafeMutableBufferPointer(
      start: arena.pointer.assumingMemoryBound(to: UInt16.self), count: program.memory.byteCount / 2)
  }

  /// For tests: marks the whole arena as never written.
  package func poison() {
    units.update(repeating: Self.poison)
  }

  /// For tests: the first byte of the arena that was written since ``poison()`` and belongs to no value.
  package var firstStrayWrite: Int? {
    var free = [Bool](repeating: true, count: units.count)
    for range in program.memory.occupied {
      for unit in range.lowerBound / 2..<range.upperBound / 2 { free[unit] = false }
    }
    return free.indices.first { free[$0] && units[$0] != Self.poison }.map { 2 * $0 }
  }
}
