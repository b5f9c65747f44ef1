/// What changes from run to run of one program, beside its inputs.
package struct RunContext: Sendable {
  /// Seed of all random numbers.
  package var seed: UInt64
  /// Counts micro-steps since the beginning of the training; random numbers are a function of it.
  package var microStep: UInt32
  /// Whether parameter gradients are added to those of the micro-steps before (gradient accumulation).
  package var accumulates: Bool
  /// What all gradients are multiplied by from the loss on, so that small ones are no zeros in fp16. Losses are not.
  package var lossScale: Float

  package init(seed: UInt64 = 0, microStep: UInt32 = 0, accumulates: Bool = false, lossScale: Float = 1) {
    self.seed = seed
    self.microStep = microStep
    self.accumulates = accumulates
    self.lossScale = lossScale
  }
}

/// The flat buffers that share a ``TensorLayout``.
package enum ParameterBuffer: CaseIterable, Sendable {
  case weights
  case gradients
  /// The running mean of gradients: Adam's m, Muon's momentum.
  case firstMoment
  /// Adam's v: the running mean of squared gradients.
  case secondMoment
}

/// Tensors that can be read: what a checkpoint is written from.
package protocol ParameterSource: AnyObject {
  var layout: TensorLayout { get }
  /// Copies `destination.count` elements of a buffer, from element `offset` on, to the host.
  func read(_ buffer: ParameterBuffer, at offset: Int, into destination: UnsafeMutableBufferPointer<Float>)
    throws(ComputeError)
}

/// Weights, and when training gradients and optimizer state, on one device; an error is the device's failure.
package protocol ParameterStore: ParameterSource {
  /// Copies elements from the host into a buffer, from element `offset` on.
  func write(_ buffer: ParameterBuffer, at offset: Int, from source: UnsafeBufferPointer<Float>) throws(ComputeError)
  /// Makes room for what updates with Muon compute; unless asked for, the first of them makes it.
  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  func reserveMuon() throws(ComputeError)
  /// Updates the weights; nothing where the loss or the gradients' norm is no number or above the update's limit. A device
  /// may still be at work on it when this returns.
  func update(_ update: OptimizerUpdate) throws(ComputeError)
  /// The report of the oldest update that has not been reported, waiting for it. At most two may be outstanding.
  func nextReport() throws(ComputeError) -> UpdateReport
}

/// A program made ready on a device: memory planned and bound, tables made. Running it allocates nothing, and fails only
/// where the device does. A loss whose gradients it computes is added up for the report of the next update.
package protocol Execution: AnyObject {
  var program: Program { get }
  /// Sets an int32 input; until then it is 0.
  func set(_ input: Node, _ values: UnsafeBufferPointer<Int32>) throws(ComputeError)
  /// Sets an input of fp32 or halves, to which the values are rounded; until then it is 0.
  func set(_ input: Node, _ values: UnsafeBufferPointer<Float>) throws(ComputeError)
  func run(_ context: RunContext) throws(ComputeError)
  /// Copies a result of the last run, or an input, to the host; halves as fp32.
  func get(_ result: Node, into destination: UnsafeMutableBufferPointer<Float>) throws(ComputeError)
}

/// How a device with memory of its own was used over some time.
package struct DeviceUse: Sendable, Equatable {
  /// What programs and parameters take by their plans, and what the device says is taken.
  package let plannedBytes, reportedBytes: Int
  /// The share of the time in which the device had nothing to do, between the first work and the last.
  package let idleShare: Double

  package init(plannedBytes: Int, reportedBytes: Int, idleShare: Double) {
    self.plannedBytes = plannedBytes
    self.reportedBytes = reportedBytes
    self.idleShare = idleShare
  }
}

/// A device that runs programs.
package protocol Executor: AnyObject {
  /// What runs here, for people: "CPU, 2 threads, avx512".
  var deviceDescription: String { get }

  /// The precision in which models train fastest here.
  var fastestPrecision: Precision { get }

  /// Whether runs and updates return before the device is done, so that it pays to prepare the next meanwhile.
  var runsAhead: Bool { get }

  /// Whether it is faster here to keep what norms and activations gave for the gradients of products than to make it once
  /// more. Where memory is short it is made once more all the same.
  var keepsActivations: Bool { get }

  /// What matrix products reach at most, FLOP/s; nil: not known.
  func peakFlops(_ precision: Precision) -> Double?

  /// What programs and parameters take of the device's own memory; nil where it has none.
  var plannedBytes: Int? { get }

  /// What was chosen by timing, where other choices give other bits: a training that goes on is given what it began with.
  /// Keys name the device, and choices of another one are passed over.
  var choices: [String: String] { get set }

  /// From here on the device's use is watched, until ``endWatching()``.
  func beginWatching() throws(ComputeError)

  /// How the device was used since ``beginWatching()``; nil where it has no memory of its own.
  func endWatching() throws(ComputeError) -> DeviceUse?

  /// Makes room for tensors, all zero.
  ///
  /// - Parameters:
  ///   - training: with gradients and optimizer state.
  ///   - moments: what the optimizer's are kept in: fp32, or bf16 rounded by chance for programs in bf16.
  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  func makeParameters(
    _ layout: TensorLayout, training: Bool, moments: Precision
  ) throws(ComputeError) -> any ParameterStore

  /// Binds a program to its parameters and state, which must come from this executor.
  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  func prepare(
    _ program: Program, parameters: any ParameterStore, states: (any ParameterStore)?
  ) throws(ComputeError) -> any Execution
}

extension Executor {
  package var keepsActivations: Bool { false }
  package func peakFlops(_ precision: Precision) -> Double? { nil }

  package var plannedBytes: Int? { nil }

  /// Nothing is chosen by timing.
  package var choices: [String: String] {
    get { [:] }
    set {}
  }

  package func beginWatching() throws(ComputeError) {}

  package func endWatching() throws(ComputeError) -> DeviceUse? { nil }

  /// With moments in fp32.
  package func makeParameters(_ layout: TensorLayout, training: Bool) throws(ComputeError) -> any ParameterStore {
    try makeParameters(layout, training: training, moments: .fp32)
  }
}

extension Execution {
  package func set(_ input: Node, _ values: [Int32]) throws(ComputeError) {
    try values.withUnsafeBufferPointer { (buffer) throws(ComputeError) in try set(input, buffer) }
  }

  package func set(_ input: Node, _ values: [Float]) throws(ComputeError) {
    try values.withUnsafeBufferPointer { (buffer) throws(ComputeError) in try set(input, buffer) }
  }

  package func get(_ result: Node) throws(ComputeError) -> [Float] {
    var values = [Float](repeating: 0, count: program.graph.shape(result).count)
    try values.withUnsafeMutableBufferPointer { (buffer) throws(ComputeError) in try get(result, into: buffer) }
    return values
  }
}

extension ParameterSource {
  package func read(_ buffer: ParameterBuffer, _ entry: TensorLayout.Entry) throws(ComputeError) -> [Float] {
    var values = [Float](repeating: 0, count: entry.shape.count)
    try values.withUnsafeMutableBufferPointer { (memory) throws(ComputeError) in
      try read(buffer, at: entry.offset, into: memory)
    }
    return values
  }
}

extension ParameterStore {
  package func write(
    _ buffer: ParameterBuffer, _ entry: TensorLayout.Entry, _ values: [Float]
  ) throws(ComputeError) {
    precondition(values.count == entry.shape.count)
    try values.withUnsafeBufferPointer { (memory) throws(ComputeError) in
      try write(buffer, at: entry.offset, from: memory)
    }
  }
}
