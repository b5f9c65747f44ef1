internal import CCUDA
import Compute

/// A program bound to the GPU's memory: launches and products with every address known, from the second run on one
/// captured graph.
final class CUDAExecution: Execution {
  let program: Program
  private let gpu: GPU
  private let kernels: Kernels
  private let products: MatrixProducts
  private let profile: StepProfile?
  private let arena: DeviceMemory
  private let scratch: DeviceMemory
  private let run: DeviceMemory
  private let addresses: Addresses
  /// Inputs and the constants of a run on their way to the GPU.
  private let staging: Staging
  /// Where each input lies in the staging, by node id.
  private let places: [Int: Int]
  /// The first micro-step of an update, and the others, which add to its gradients.
  private let passes: [Pass]
  private let hasGradients: Bool

  /// What a run does.
  private final class Pass {
    let spans: [Span]
    var graph: CUgraphExec?
    /// Libraries may allocate in their first call: that one can't be captured.
    var hasRun = false

    init(_ spans: [Span]) { self.spans = spans }
  }

  /// The commands of one operation.
  private struct Span {
    let kind: String
    let flops: Double
    let commands: [Command]
  }

  init(
    _ program: Program, parameters: CUDAStore, states: CUDAStore?, gpu: GPU, kernels: Kernels,
    products: MatrixProducts, fusesActivations: Bool, profile: StepProfile?,
    rotaryTable: @escaping (RotaryFrequencies, Int) throws(ComputeError) -> RotaryTable
  ) throws(ComputeError) {
    let graph = program.graph
    let fused = fusesActivations ? Fusions(of: graph).pairs : [:]
    // What is done at once needs all its memory at once.
    let program = fused.isEmpty ? program : Program(graph, joined: Set(fused.keys))
    self.program = program
    self.gpu = gpu
    self.kernels = kernels
    self.products = products
    self.profile = profile
    try gpu.makeCurrent()
    try parameters.keepOperands(graph.precision)
    let arena = try DeviceMemory(gpu, bytes: program.memory.byteCount, purpose: "activations")
    let run = try DeviceMemory(gpu, bytes: MemoryLayout<mf_run>.stride, purpose: "a run's constants")
    let addresses = Addresses(program, arena: arena.address, run: run.address, parameters: parameters, states: states)
    let hasGradients = graph.infos.contains { if case .gradient = $0.role { true } else { false } }
    self.hasGradients = hasGradients
    func spans(_ scratch: Scratch, accumulates: Bool) throws(ComputeError) -> [Span] {
      let lowering = Lowering(
        graph: graph, at: addresses, kernels: kernels, products: products, scratch: scratch, device: gpu.device,
        isTraining: hasGradients, accumulates: accumulates, rotaryTable: rotaryTable)
      var spans: [Span] = []
      for (index, operation) in graph.operations.enumerated() where fused[index - 1] == nil {
        let flops = operation.flops(in: graph)
        if let pair = fused[index] {
          let kind = operation.kind + "+" + graph.operations[index + 1].kind
          spans.append(Span(kind: kind, flops: flops, commands: try lowering.lower(pair)))
        } else {
          spans.append(Span(kind: operation.kind, flops: flops, commands: try lowering.lower(operation)))
        }
      }
      return spans
    }
    // Once to see what it takes, then in earnest.
    let measured = Scratch(at: Address(value: 0))
    _ = try spans(measured, accumulates: false)
    let scratch = try DeviceMemory(gpu, bytes: measured.mostBytes, purpose: "intermediate sums and logits")
    var passes: [Pass] = []
    for accumulates in hasGradients ? [false, true] : [false] {
      passes.append(Pass(try spans(Scratch(at: scratch.address), accumulates: accumulates)))
    }
    self.passes = passes
    var places: [Int: Int] = [:]
    var bytes = aligned(MemoryLayout<mf_run>.stride, to: 64)
    for (id, info) in graph.infos.enumerated() where info.role == .input {
      places[id] = bytes
      bytes += aligned(info.byteCount, to: 64)
    }
    self.places = places
    staging = try Staging(gpu, bytes: bytes, purpose: "inputs")
    self.addresses = addresses
    self.arena = arena
    self.run = run
    self.scratch = scratch
  }

  deinit {
    guard !gpu.isLost, (try? gpu.makeCurrent()) != nil else { return }
    // What runs still uses the memory that is freed next.
    try? gpu.synchronize()
    for pass in passes { if let graph = pass.graph { _ = gpu.libraries.driver.cuGraphExecDestroy(graph) } }
  }

  // MARK: Inputs and results

  func set(_ input: Node, _ values: UnsafeBufferPointer<Int32>) throws(ComputeError) {
    let info = program.graph[input]
    precondition(info.role == .input && info.dtype == .int32 && values.count == info.shape.count)
    try send(values.baseAddress, to: input)
  }

  func set(_ input: Node, _ values: UnsafeBufferPointer<Float>) throws(ComputeError) {
    let info = program.graph[input]
    precondition(info.role == .input && info.dtype != .int32 && values.count == info.shape.count)
    if info.dtype == .float32 {
      try send(values.baseAddress, to: input)
    } else {
      try kernels.write(values, to: addresses.any(input), program.graph.precision, gpu)
    }
  }

  private func send(_ values: UnsafeRawPointer?, to input: Node) throws(ComputeError) {
    guard let values, let place = places[input.id] else { return }
    try gpu.makeCurrent()
    let bytes = program.graph[input].byteCount
    let staged = staging.pointer + place
    staged.copyMemory(from: values, byteCount: bytes)
    try gpu.copy(staged, to: addresses.any(input), bytes: bytes)
  }

  func get(_ result: Node, into destination: UnsafeMutableBufferPointer<Float>) throws(ComputeError) {
    let info = program.graph[result]
    precondition(info.dtype != .int32 && destination.count <= info.shape.count)
    let precision = info.dtype == .float32 ? .fp32 : program.graph.precision
    try kernels.read(addresses.any(result), precision, into: destination, gpu)
  }

  // MARK: Running

  func run(_ context: RunContext) throws(ComputeError) {
    try gpu.makeCurrent()
    let constants = mf_run(seed: context.seed, micro_step: context.microStep, loss_scale: context.lossScale)
    staging.pointer.storeBytes(of: constants, as: mf_run.self)
    try gpu.work { () throws(ComputeError) in
      try gpu.copy(staging.pointer, to: run.address, bytes: MemoryLayout<mf_run>.stride)
      try run(passes[hasGradients && context.accumulates ? 1 : 0])
    }
    try staging.swap()
  }

  private func run(_ pass: Pass) throws(ComputeError) {
    if let profile, profile.isOn {
      for span in pass.spans {
        try profile.time(span.kind, flops: span.flops) { () throws(ComputeError) in
          for command in span.commands { try command.run(on: gpu, kernels, products) }
          try gpu.synchronize()
        }
      }
      return
    }
    guard pass.hasRun else {
      pass.hasRun = true
      return try launch(pass)
    }
    if pass.graph == nil { pass.graph = try capture(pass) }
    try gpu.check(gpu.libraries.driver.cuGraphLaunch(pass.graph, gpu.stream), "cuGraphLaunch")
  }

  private func launch(_ pass: Pass) throws(ComputeError) {
    for span in pass.spans {
      for command in span.commands { try command.run(on: gpu, kernels, products) }
    }
  }

  private func capture(_ pass: Pass) throws(ComputeError) -> CUgraphExec {
    let driver = gpu.libraries.driver
    try gpu.check(
      driver.cuStreamBeginCapture_v2(gpu.stream, Int32(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)),
      "cuStreamBeginCapture")
    var graph: CUgraph?
    do throws(ComputeError) {
      try launch(pass)
    } catch {
      _ = driver.cuStreamEndCapture(gpu.stream, &graph)
      throw error
    }
    try gpu.check(driver.cuStreamEndCapture(gpu.stream, &graph), "cuStreamEndCapture")
    defer { _ = driver.cuGraphDestroy(graph) }
    var executable: CUgraphExec?
    try gpu.check(driver.cuGraphInstantiateWithFlags(&executable, graph, 0), "cuGraphInstantiate")
    guard let executable else { throw .device("\(gpu.device.name): the driver gives no graph") }
    return executable
  }
}
