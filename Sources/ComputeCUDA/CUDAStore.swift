internal import CCUDA
import Compute
import Foundation

/// Flat buffers in the GPU's memory: all fp32 but for moments that may be bf16, and where a program computes in halves a
/// copy of the weights as halves.
final class CUDAStore: ParameterStore {
  let layout: TensorLayout
  private let gpu: GPU
  private let kernels: Kernels
  private let products: MatrixProducts
  private let profile: StepProfile?
  private let isTraining: Bool
  private let weights: DeviceMemory
  /// Empty unless training.
  private let gradients, firstMoment, secondMoment: DeviceMemory
  /// What both moments are kept in.
  private let moments: Precision
  /// Weights as products read them, where those are halves.
  private var halves: Halves?
  private let updates: Updates?
  /// From the first time on that it is asked for.
  private var muon: MuonUpdate?

  private final class Halves {
    let precision: Precision
    let memory: DeviceMemory

    init(_ precision: Precision, count: Int, gpu: GPU) throws(ComputeError) {
      self.precision = precision
      memory = try DeviceMemory(gpu, bytes: count * precision.dtype.size, purpose: "weights in \(precision)")
    }
  }

  init(
    _ layout: TensorLayout, training: Bool, moments: Precision, gpu: GPU, kernels: Kernels, products: MatrixProducts,
    profile: StepProfile?
  ) throws(ComputeError) {
    precondition(moments != .fp16, "fp16 holds no squares of gradients")
    self.layout = layout
    self.gpu = gpu
    self.kernels = kernels
    self.products = products
    self.profile = profile
    self.moments = moments
    isTraining = training
    let trained = training ? layout.count : 0
    weights = try DeviceMemory(gpu, bytes: layout.count * 4, purpose: "weights")
    gradients = try DeviceMemory(gpu, bytes: trained * 4, purpose: "gradients")
    firstMoment = try DeviceMemory(gpu, bytes: trained * moments.dtype.size, purpose: "optimizer state")
    secondMoment = try DeviceMemory(gpu, bytes: trained * moments.dtype.size, purpose: "optimizer state")
    updates = training ? try Updates(layout, gpu: gpu) : nil
  }

  /// The first element of a buffer, and what its elements are.
  private func elements(_ buffer: ParameterBuffer) -> (address: Address, Precision) {
    switch buffer {
    case .weights: (weights.address, .fp32)
    case .gradients: (gradients.address, .fp32)
    case .firstMoment: (firstMoment.address, moments)
    case .secondMoment: (secondMoment.address, moments)
    }
  }

  func weight(at offset: Int) -> Address { weights.address + 4 * offset }
  func gradient(at offset: Int) -> Address { gradients.address + 4 * offset }

  /// Keeps weights as products of a precision read them, from now on.
  func keepOperands(_ precision: Precision) throws(ComputeError) {
    guard precision != .fp32, halves?.precision != precision else { return }
    precondition(halves == nil, "one store serves programs of one precision besides fp32")
    halves = try Halves(precision, count: layout.count, gpu: gpu)
    try round(0..<layout.count)
    // It computes in the precision of the copy.
    muon = nil
  }

  /// Weights from an offset on, as products of a precision read them.
  func operand(at offset: Int, _ precision: Precision) -> Address {
    guard precision != .fp32 else { return weight(at: offset) }
    guard let halves, halves.precision == precision else { preconditionFailure("no weights in \(precision)") }
    return halves.memory.address + offset * precision.dtype.size
  }

  /// Where programs leave what they minimise, for the next update.
  var state: Address? { updates?.state }

  /// Brings a range of the halves up to date.
  private func round(_ range: Range<Int>) throws(ComputeError) {
    guard let halves, !range.isEmpty else { return }
    let to = operand(at: range.lowerBound, halves.precision)
    try kernels.narrow(weight(at: range.lowerBound), to: to, count: range.count, halves.precision)
  }

  // MARK: The host's side

  func read(
    _ buffer: ParameterBuffer, at offset: Int, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(ComputeError) {
    precondition(offset >= 0 && offset + destination.count <= layout.count)
    let (start, precision) = elements(buffer)
    try kernels.read(start + offset * precision.dtype.size, precision, into: destination, gpu)
  }

  func write(
    _ buffer: ParameterBuffer, at offset: Int, from source: UnsafeBufferPointer<Float>
  ) throws(ComputeError) {
    precondition(offset >= 0 && offset + source.count <= layout.count)
    let (start, precision) = elements(buffer)
    try kernels.write(source, to: start + offset * precision.dtype.size, precision, gpu)
    if buffer == .weights { try round(offset..<offset + source.count) }
    try gpu.synchronize()
  }

  // MARK: Updates

  /// Of the kernels that update weights: those that leave a copy in halves.
  private var updatePrecision: Precision {
    let precision = halves?.precision ?? moments
    precondition(moments == .fp32 || moments == precision, "moments in \(moments) of weights in \(precision)")
    return precision
  }

  func reserveMuon() throws(ComputeError) {
    guard let updates else { preconditionFailure("these weights aren't trained") }
    guard muon == nil else { return }
    let buffers = MuonUpdate.Buffers(
      weights: weights.address, gradients: gradients.address, momentum: firstMoment.address,
      hasHalfMoments: moments == .bf16, copy: halves?.memory.address)
    muon = try MuonUpdate(
      layout, buffers, precision: updatePrecision, updates: updates, gpu: gpu, kernels: kernels, products: products)
  }

  func update(_ update: OptimizerUpdate) throws(ComputeError) {
    guard let updates else { preconditionFailure("these weights aren't trained") }
    try gpu.makeCurrent()
    if update.muon != nil { try reserveMuon() }
    let muon = update.muon == nil ? nil : muon
    guard let profile, profile.isOn else {
      return try gpu.work { () throws(ComputeError) in
        try launch(update, updates)
        try muon?.run()
        try updates.report()
      }
    }
    try profile.time("AdamW") { () throws(ComputeError) in
      try launch(update, updates)
      try gpu.synchronize()
    }
    if let muon {
      try profile.time("Muon", flops: muon.flops) { () throws(ComputeError) in
        try muon.run()
        try gpu.synchronize()
      }
    }
    try updates.report()
  }

  /// The gradients' norm, and AdamW.
  private func launch(_ update: OptimizerUpdate, _ updates: Updates) throws(ComputeError) {
    try updates.stage(update)
    let (precision, blocks) = (updatePrecision, updates.sumBlocks)
    try kernels.launch(
      kernels.call(
        .sums, "mf_sum_of_squares", storage: precision, grid: (blocks, 1, 1), threads: 256,
        [layout.count, gradients.address, updates.partials]))
    try kernels.launch(
      kernels.call(
        .optimizer, "mf_gradient_state", storage: precision, grid: (1, 1, 1), threads: 256,
        [blocks, updates.partials, updates.constants, updates.state]))
    let chunkCount = update.muon == nil ? updates.chunkCount : updates.chunkCountWithoutMatrices
    if chunkCount > 0 {
      try kernels.launch(
        kernels.call(
          .optimizer, moments == .bf16 ? "mf_adamw_half_moments" : "mf_adamw", storage: precision,
          grid: (chunkCount, 1, 1), threads: 256,
          [
            updates.chunks, updates.segments, updates.constants, updates.state, weights.address, firstMoment.address,
            secondMoment.address, halves?.memory.address, gradients.address,
          ]))
    }
  }

  func nextReport() throws(ComputeError) -> UpdateReport {
    guard let updates else { preconditionFailure("these weights aren't trained") }
    return try updates.nextReport()
  }
}
