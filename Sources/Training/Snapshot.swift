import Compute

/// Weights and moments as they were at one moment, in memory of the host: what is written while training goes on.
///
/// Unchecked, because whoever holds it orders what the compiler can't see: it is copied into only while nobody reads.
final class Snapshot: ParameterSource, @unchecked Sendable {
  let layout: TensorLayout
  private let memory: SystemMemory

  private static let buffers: [ParameterBuffer] = [.weights, .firstMoment, .secondMoment]

  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  init(_ layout: TensorLayout) throws(ComputeError) {
    self.layout = layout
    memory = try SystemMemory(
      floats: Self.buffers.count * layout.count, purpose: "the copy that checkpoints are written from")
  }

  private func values(_ buffer: ParameterBuffer) -> UnsafeMutableBufferPointer<Float> {
    guard let index = Self.buffers.firstIndex(of: buffer) else { preconditionFailure("checkpoints have no gradients") }
    return UnsafeMutableBufferPointer(start: memory.floats + index * layout.count, count: layout.count)
  }

  func copy(_ source: any ParameterSource) throws(ComputeError) {
    for buffer in Self.buffers { try source.read(buffer, at: 0, into: values(buffer)) }
  }

  func read(_ buffer: ParameterBuffer, at offset: Int, into destination: UnsafeMutableBufferPointer<Float>) {
    guard !destination.isEmpty else { return }
    let part = values(buffer)[offset..<offset + destination.count]
    _ = destination.update(fromContentsOf: part)
  }
}
