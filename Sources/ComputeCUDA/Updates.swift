internal import CCUDA
import Compute
import Foundation

/// What updates need beside the parameters: constants on their way to the GPU, reports on their way back.
final class Updates {
  private let gpu: GPU
  private let memory: DeviceMemory
  private let staging: Staging
  private let reports: PinnedMemory
  private let events: [CUevent]
  /// Updates made, and those of them that were reported.
  private var (made, reported) = (0, 0)
  private let ranges: [TensorLayout.Segment]
  /// Blocks of mf_sum_of_squares.
  let sumBlocks: Int
  /// Blocks of mf_adamw on everything, and on all but matrices, which come last.
  let chunkCount, chunkCountWithoutMatrices: Int
  let constants, muon, segments, chunks, partials, state: Address

  init(_ layout: TensorLayout, gpu: GPU) throws(ComputeError) {
    self.gpu = gpu
    ranges = layout.segments
    var parts: [mf_chunk] = []
    for (index, segment) in ranges.enumerated() where !segment.isMatrix {
      parts += mf_chunk.chunks(of: segment.range, segment: index)
    }
    chunkCountWithoutMatrices = parts.count
    for (index, segment) in ranges.enumerated() where segment.isMatrix {
      parts += mf_chunk.chunks(of: segment.range, segment: index)
    }
    chunkCount = parts.count
    sumBlocks = max(1, min(1024, (layout.count + 8191) / 8192))
    // One block, in the order of the addresses.
    var bytes = 0
    func place(_ count: Int, of size: Int) -> Int {
      defer { bytes = aligned(bytes + count * size, to: 256) }
      return bytes
    }
    let constants = place(1, of: MemoryLayout<mf_update>.stride)
    let muon = place(1, of: MemoryLayout<mf_muon_update>.stride)
    let segments = place(ranges.count, of: MemoryLayout<mf_segment>.stride)
    let staged = bytes
    let chunks = place(chunkCount, of: MemoryLayout<mf_chunk>.stride)
    let partials = place(sumBlocks, of: 8)
    let state = place(1, of: MemoryLayout<mf_gradient_state_t>.stride)
    memory = try DeviceMemory(gpu, bytes: bytes, purpose: "updates")
    staging = try Staging(gpu, bytes: staged, purpose: "updates")
    reports = try PinnedMemory(gpu, bytes: 2 * MemoryLayout<mf_gradient_state_t>.stride, purpose: "reports")
    events = [try gpu.makeEvent(), try gpu.makeEvent()]
    self.constants = memory.address + constants
    self.muon = memory.address + muon
    self.segments = memory.address + segments
    self.chunks = memory.address + chunks
    self.partials = memory.address + partials
    self.state = memory.address + state
    if !parts.isEmpty {
      try gpu.copy(parts, to: self.chunks, bytes: parts.count * MemoryLayout<mf_chunk>.stride)
      try gpu.synchronize()
    }
  }

  deinit { for event in events { gpu.destroy(event) } }

  /// Sends an update's constants to the GPU.
  func stage(_ update: OptimizerUpdate) throws(ComputeError) {
    // In fp64: 1 − β₂ᵗ loses half of fp32's digits in the first steps.
    let correction1 = 1 - pow(Double(update.beta1), Double(update.step))
    let correction2 = 1 - pow(Double(update.beta2), Double(update.step))
    let values = mf_update(
      one_minus_beta1: 1 - update.beta1, beta2: update.beta2, one_minus_beta2: 1 - update.beta2,
      epsilon: update.epsilon, root_scale: Float(1 / correction2.squareRoot()),
      step: Float(Double(update.learningRate) / correction1), clip: update.clip, loss_scale: update.lossScale,
      most_loss: update.mostLoss, most_norm: update.mostGradientNorm)
    let place = staging.pointer
    place.storeBytes(of: values, as: mf_update.self)
    let chance = Philox(seed: update.seed)
    func chanceWord(_ index: Int) -> UInt32 {
      chance.word(UInt64(index), step: UInt32(truncatingIfNeeded: update.step))
    }
    if let muon = update.muon {
      let values = mf_muon_update(
        momentum: muon.momentum, learning_rate: muon.learningRate,
        decay: Float(1 - Double(muon.learningRate) * Double(muon.weightDecay)),
        norm_margin: OptimizerUpdate.Muon.normMargin, chance: chanceWord(ranges.count))
      place.storeBytes(of: values, toByteOffset: Int(self.muon.value - constants.value), as: mf_muon_update.self)
    }
    let offset = Int(segments.value - constants.value)
    for (index, segment) in ranges.enumerated() {
      let rate = update.learningRate(of: segment)
      let decay = segment.decays ? Double(rate) * Double(update.weightDecay) : 0
      let constants = mf_segment(
        start: Int64(segment.range.lowerBound), decay: Float(1 - decay),
        rate: update.learningRate > 0 ? rate / update.learningRate : 0,
        chance: chanceWord(index))
      place.storeBytes(
        of: constants, toByteOffset: offset + index * MemoryLayout<mf_segment>.stride, as: mf_segment.self)
    }
    try gpu.copy(place, to: constants, bytes: offset + ranges.count * MemoryLayout<mf_segment>.stride)
    try staging.swap()
  }

  private func slot(_ number: Int) -> UnsafeMutableRawPointer {
    reports.pointer + number % 2 * MemoryLayout<mf_gradient_state_t>.stride
  }

  /// Sends what the update found to the host.
  func report() throws(ComputeError) {
    precondition(made - reported < 2, "nobody asks for reports")
    try gpu.copy(state, to: slot(made), bytes: MemoryLayout<mf_gradient_state_t>.stride)
    try gpu.record(events[made % 2])
    made += 1
  }

  func nextReport() throws(ComputeError) -> UpdateReport {
    precondition(reported < made, "no update to report")
    try gpu.makeCurrent()
    try gpu.wait(for: events[reported % 2])
    let found = slot(reported).load(as: mf_gradient_state_t.self)
    reported += 1
    var report = UpdateReport(loss: found.loss, accuracy: found.accuracy, gradientNorm: found.norm)
    report.isApplied = found.skips == 0
    return report
  }
}

extension mf_chunk {
  /// What blocks update of a range of the flat buffers.
  static func chunks(of range: Range<Int>, segment: Int) -> [mf_chunk] {
    stride(from: range.lowerBound, to: range.upperBound, by: 8192).map { start in
      mf_chunk(start: Int64(start), count: Int32(min(8192, range.upperBound - start)), segment: Int32(segment))
    }
  }
}
