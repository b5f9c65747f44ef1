internal import CKernels
import Compute
import Foundation

/// Flat fp32 buffers in main memory.
final class CPUStore: ParameterStore {
  let layout: TensorLayout
  private let executor: CPUExecutor
  private let weights: FloatMemory
  /// Empty unless training.
  private let gradients: FloatMemory
  private let firstMoment: FloatMemory
  private let secondMoment: FloatMemory
  /// Ranges of the flat buffers in which all tensors are updated, and all decayed or none.
  private let segments: [Segment]

  private struct Segment {
    var range: Range<Int>
    let decays: Bool
  }

  init(_ layout: TensorLayout, training: Bool, executor: CPUExecutor) throws(ComputeError) {
    self.layout = layout
    self.executor = executor
    weights = try FloatMemory(count: layout.count, purpose: "weights")
    gradients = try FloatMemory(count: training ? layout.count : 0, purpose: "gradients")
    firstMoment = try FloatMemory(count: training ? layout.count : 0, purpose: "optimizer state")
    secondMoment = try FloatMemory(count: training ? layout.count : 0, purpose: "optimizer state")
    segments = Self.segments(layout)
  }

  private static func segments(_ layout: TensorLayout) -> [Segment] {
    var segments: [Segment] = []
    for (index, entry) in layout.entries.enumerated() where entry.isTrainable {
      let end = index + 1 < layout.entries.count ? layout.entries[index + 1].offset : layout.count
      let decays = entry.shape.rank >= 2
      if let last = segments.last, last.decays == decays, last.range.upperBound == entry.offset {
        segments[segments.count - 1].range = last.range.lowerBound..<end
      } else {
        segments.append(Segment(range: entry.offset..<end, decays: decays))
      }
    }
    return segments
  }

  func pointer(_ buffer: ParameterBuffer) -> UnsafeMutablePointer<Float> {
    switch buffer {
    case .weights: weights.pointer
    case .gradients: gradients.pointer
    case .firstMoment: firstMoment.pointer
    case .secondMoment: secondMoment.pointer
    }
  }

  func read(_ buffer: ParameterBuffer, at offset: Int, into destination: UnsafeMutableBufferPointer<Float>) {
    precondition(offset >= 0 && offset + destination.count <= layout.count)
    destination.baseAddress?.update(from: pointer(buffer) + offset, count: destination.count)
  }

  func write(_ buffer: ParameterBuffer, at offset: Int, from source: UnsafeBufferPointer<Float>) {
    precondition(offset >= 0 && offset + source.count <= layout.count)
    guard let address = source.baseAddress else { return }
    (pointer(buffer) + offset).update(from: address, count: source.count)
  }

  func gradientNorm() -> Double {
    executor.timed("GradientNorm") {
      executor.kernels.sum_of_squares(executor.pool, Int64(gradients.count), gradients.pointer).squareRoot()
    }
  }

  func adamW(_ update: AdamWUpdate) {
    executor.timed("AdamW") { apply(update) }
  }

  private func apply(_ update: AdamWUpdate) {
    // In fp64: 1 − β₂ᵗ loses half of fp32's digits in the first steps.
    let correction1 = Float(1 - pow(Double(update.beta1), Double(update.step)))
    let correction2 = Float(1 - pow(Double(update.beta2), Double(update.step)))
    for segment in segments {
      let start = segment.range.lowerBound
      var arguments = mf_adamw(
        count: Int64(segment.range.count), weights: weights.pointer + start, m: firstMoment.pointer + start,
        v: secondMoment.pointer + start, copy: nil, gradients: gradients.pointer + start,
        gradient_scale: update.gradientScale, learning_rate: update.learningRate, beta1: update.beta1,
        beta2: update.beta2, epsilon: update.epsilon, weight_decay: segment.decays ? update.weightDecay : 0,
        bias_correction1: correction1, bias_correction2: correction2)
      executor.kernels.adamw(executor.pool, &arguments)
    }
  }
}
