internal import CKernels
import Compute
import Foundation

/// Flat buffers in main memory: all fp32 but for moments that may be bf16, and where a program computes in halves a copy
/// of the weights as halves.
final class CPUStore: ParameterStore {
  let layout: TensorLayout
  private let executor: CPUExecutor
  private let isTraining: Bool
  private let weights: SystemMemory
  /// Empty unless training.
  private let gradients: SystemMemory
  private let firstMoment: SystemMemory
  private let secondMoment: SystemMemory
  /// What both moments are kept in.
  private let moments: Precision
  /// Weights as products read them, where those are halves.
  private var halves: Halves?
  /// Of the micro-steps since the last update.
  private var totals = UpdateReport()
  private var reports: [UpdateReport] = []
  private let segments: [TensorLayout.Segment]
  /// The largest first, so that none is left over at the end.
  private let matrices: [mf_matrix]

  private final class Halves {
    let precision: Precision
    let memory: SystemMemory

    init(_ precision: Precision, count: Int) throws(ComputeError) {
      self.precision = precision
      memory = try SystemMemory(bytes: count * precision.dtype.size, purpose: "weights in \(precision)")
    }

    func pointer(at offset: Int) -> UnsafeMutableRawPointer { memory.pointer + offset * precision.dtype.size }
  }

  init(_ layout: TensorLayout, training: Bool, moments: Precision, executor: CPUExecutor) throws(ComputeError) {
    precondition(moments != .fp16, "fp16 holds no squares of gradients")
    self.layout = layout
    self.executor = executor
    isTraining = training
    weights = try SystemMemory(floats: layout.count, purpose: "weights")
    gradients = try SystemMemory(floats: training ? layout.count : 0, purpose: "gradients")
    self.moments = moments
    let momentBytes = training ? layout.count * moments.dtype.size : 0
    firstMoment = try SystemMemory(bytes: momentBytes, purpose: "optimizer state")
    secondMoment = try SystemMemory(bytes: momentBytes, purpose: "optimizer state")
    segments = layout.segments
    matrices = layout.matrices.map {
      mf_matrix(offset: Int64($0.offset), rows: Int64($0.rows), columns: Int64($0.columns))
    }
  }

  /// A buffer that is always fp32.
  func floats(_ buffer: FullBuffer) -> UnsafeMutablePointer<Float> {
    switch buffer {
    case .weights: weights.floats
    case .gradients: gradients.floats
    }
  }

  enum FullBuffer { case weights, gradients }

  /// A buffer from an element on, and what its elements are.
  private func elements(_ buffer: ParameterBuffer, at offset: Int) -> (pointer: UnsafeMutableRawPointer, Precision) {
    switch buffer {
    case .weights: (UnsafeMutableRawPointer(weights.floats + offset), .fp32)
    case .gradients: (UnsafeMutableRawPointer(gradients.floats + offset), .fp32)
    case .firstMoment: (firstMoment.pointer + offset * moments.dtype.size, moments)
    case .secondMoment: (secondMoment.pointer + offset * moments.dtype.size, moments)
    }
  }

  /// Keeps weights as products of a precision read them, from now on.
  func keepOperands(_ precision: Precision) throws(ComputeError) {
    guard precision != .fp32, halves?.precision != precision else { return }
    precondition(halves == nil, "one store serves programs of one precision besides fp32")
    halves = try Halves(precision, count: layout.count)
    round(0..<layout.count)
  }

  /// Weights from an offset on, as products of a precision read them.
  func operand(at offset: Int, _ precision: Precision) -> UnsafeRawPointer {
    guard precision != .fp32 else { return UnsafeRawPointer(weights.floats + offset) }
    guard let halves, halves.precision == precision else { preconditionFailure("no weights in \(precision)") }
    return UnsafeRawPointer(halves.pointer(at: offset))
  }

  /// Brings a range of the halves up to date.
  private func round(_ range: Range<Int>) {
    guard let halves else { return }
    let start = range.lowerBound
    executor.kernels(halves.precision).narrow(
      executor.pool, Int64(range.count), weights.floats + start, halves.pointer(at: start))
  }

  func read(_ buffer: ParameterBuffer, at offset: Int, into destination: UnsafeMutableBufferPointer<Float>) {
    precondition(offset >= 0 && offset + destination.count <= layout.count)
    guard let address = destination.baseAddress else { return }
    let (pointer, precision) = elements(buffer, at: offset)
    executor.kernels(precision).widen(executor.pool, Int64(destination.count), pointer, address)
  }

  func write(_ buffer: ParameterBuffer, at offset: Int, from source: UnsafeBufferPointer<Float>) {
    precondition(offset >= 0 && offset + source.count <= layout.count)
    guard let address = source.baseAddress else { return }
    let (pointer, precision) = elements(buffer, at: offset)
    executor.kernels(precision).narrow(executor.pool, Int64(source.count), address, pointer)
    if buffer == .weights { round(offset..<offset + source.count) }
  }

  /// Adds a micro-step's share of an update's loss, or begins with it.
  func note(_ share: UpdateReport, adds: Bool) {
    totals.loss = (adds ? totals.loss : 0) + share.loss
    totals.accuracy = (adds ? totals.accuracy : 0) + share.accuracy
  }

  func update(_ update: OptimizerUpdate) throws(ComputeError) {
    let norm = executor.timed("GradientNorm") {
      executor.kernels(.fp32).sum_of_squares(
        executor.pool, Int64(isTraining ? layout.count : 0), gradients.floats
      ).squareRoot()
    }
    totals.gradientNorm = norm / Double(update.lossScale)
    totals.isApplied = update.allows(totals)
    precondition(reports.count < 2, "nobody asks for reports")
    reports.append(totals)
    guard totals.isApplied else { return }
    let scale = update.gradientScale(norm: totals.gradientNorm)
    executor.timed("AdamW") { apply(update, gradientScale: scale) }
    if let muon = update.muon {
      try reserveMuon()
      executor.timed("Muon") { apply(muon, of: update, gradientScale: scale) }
    }
  }

  func nextReport() -> UpdateReport {
    reports.removeFirst()
  }

  /// Of the kernels that update weights: those that leave a copy in halves.
  private var updatePrecision: Precision {
    let precision = halves?.precision ?? moments
    precondition(moments == .fp32 || moments == precision, "moments in \(moments) of weights in \(precision)")
    return precision
  }

  private func apply(_ update: OptimizerUpdate, gradientScale: Float) {
    // In fp64: 1 − β₂ᵗ loses half of fp32's digits in the first steps.
    let correction1 = Float(1 - pow(Double(update.beta1), Double(update.step)))
    let correction2 = Float(1 - pow(Double(update.beta2), Double(update.step)))
    let kernels = executor.kernels(updatePrecision)
    let chance = Philox(seed: update.seed)
    for (index, segment) in segments.enumerated() where update.muon == nil || !segment.isMatrix {
      let start = segment.range.lowerBound
      var arguments = mf_adamw(
        count: Int64(segment.range.count), weights: weights.floats + start,
        m: elements(.firstMoment, at: start).pointer, v: elements(.secondMoment, at: start).pointer,
        half_moments: moments == .bf16,
        chance: chance.word(UInt64(index), step: UInt32(truncatingIfNeeded: update.step)),
        copy: halves?.pointer(at: start), gradients: gradients.floats + start,
        gradient_scale: gradientScale, learning_rate: update.learningRate(of: segment), beta1: update.beta1,
        beta2: update.beta2, epsilon: update.epsilon, weight_decay: segment.decays ? update.weightDecay : 0,
        bias_correction1: correction1, bias_correction2: correction2)
      kernels.adamw(executor.pool, &arguments)
    }
  }

  func reserveMuon() throws(ComputeError) {
    let storage = updatePrecision.storage
    // In each update: so without an array.
    try executor.reserve(Int(matrices.reduce(0) { max($0, mf_muon_scratch(storage, $1.rows, $1.columns)) }))
  }

  private func apply(_ muon: OptimizerUpdate.Muon, of update: OptimizerUpdate, gradientScale: Float) {
    let chance = Philox(seed: update.seed)
    matrices.withUnsafeBufferPointer { matrices in
      Self.polynomials.withUnsafeBufferPointer { polynomials in
        var arguments = mf_muon(
          count: Int64(matrices.count), matrices: matrices.baseAddress, weights: weights.floats,
          moments: firstMoment.pointer, half_moments: moments == .bf16,
          chance: chance.word(UInt64(segments.count), step: UInt32(truncatingIfNeeded: update.step)),
          copy: halves?.pointer(at: 0), gradients: gradients.floats, gradient_scale: gradientScale,
          learning_rate: muon.learningRate, momentum: muon.momentum, weight_decay: muon.weightDecay,
          norm_margin: OptimizerUpdate.Muon.normMargin, polynomial_count: Int64(polynomials.count / 3),
          polynomials: polynomials.baseAddress)
        executor.kernels(updatePrecision).muon(executor.pool, &arguments)
      }
    }
  }

  private static let polynomials = OptimizerUpdate.Muon.orthogonalization.flatMap { [$0.a, $0.b, $0.c] }
}
