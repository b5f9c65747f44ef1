internal import CCUDA
import Compute

/// Muon's part of an update, with every address known, and the room for what it computes.
///
/// Matrices of one shape are made orthogonal together, as many as the room holds, one batch after the other.
final class MuonUpdate {
  /// Of the store that is updated, each from its first element on.
  struct Buffers {
    let weights, gradients, momentum: Address
    let hasHalfMoments: Bool
    /// The weights as halves.
    let copy: Address?
  }

  /// Of all batches in one update.
  let flops: Double
  private let gpu: GPU
  private let kernels: Kernels
  private let products: MatrixProducts
  /// What kernels need to know of chunks and matrices, and their partial sums.
  private let tables: DeviceMemory
  private let room: DeviceMemory
  private let commands: [Command]

  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``, ``ComputeError/device(_:)``.
  init(
    _ layout: TensorLayout, _ buffers: Buffers, precision: Precision, updates: Updates, gpu: GPU, kernels: Kernels,
    products: MatrixProducts
  ) throws(ComputeError) {
    self.gpu = gpu
    self.kernels = kernels
    self.products = products
    let batches = MuonBatch.batches(of: layout.matrices, precision)
    flops = batches.map(\.flops).reduce(0, +)

    var chunks: [mf_chunk] = []
    var records: [mf_muon_matrix] = []
    var spans: [Range<Int>] = []
    for batch in batches {
      let first = chunks.count
      for (index, matrix) in batch.matrices.enumerated() {
        let range = matrix.offset..<matrix.offset + matrix.rows * matrix.columns
        let own = mf_chunk.chunks(of: range, segment: records.count)
        records.append(
          mf_muon_matrix(
            start: Int64(matrix.offset), place: Int64(index * batch.stride),
            stretch: max(1, Float(matrix.rows) / Float(matrix.columns)).squareRoot(),
            first_chunk: Int32(chunks.count), chunk_count: Int32(own.count)))
        chunks += own
      }
      spans.append(first..<chunks.count)
    }
    let chunkBytes = aligned(chunks.count * MemoryLayout<mf_chunk>.stride, to: 256)
    let recordBytes = aligned(records.count * MemoryLayout<mf_muon_matrix>.stride, to: 256)
    tables = try DeviceMemory(gpu, bytes: chunkBytes + recordBytes + 8 * chunks.count, purpose: "Muon")
    let (chunkTable, matrixTable) = (tables.address, tables.address + chunkBytes)
    let partials = matrixTable + recordBytes
    room = try DeviceMemory(gpu, bytes: batches.map(\.bytes).max() ?? 0, purpose: "Muon's matrices")
    if !chunks.isEmpty {
      try gpu.copy(chunks, to: chunkTable, bytes: chunks.count * MemoryLayout<mf_chunk>.stride)
      try gpu.copy(records, to: matrixTable, bytes: records.count * MemoryLayout<mf_muon_matrix>.stride)
      try gpu.synchronize()
    }

    func kernel(
      _ name: String, _ blocks: Int, _ arguments: any KernelArgument...
    ) throws(ComputeError) -> Command {
      .kernel(
        try kernels.call(.muon, name, storage: precision, grid: (blocks, 1, 1), threads: 256, arguments))
    }
    let moments = buffers.hasHalfMoments ? "_half_moments" : ""
    var commands: [Command] = []
    if !chunks.isEmpty {
      commands.append(
        try kernel(
          "mf_muon_squares" + moments, chunks.count, chunkTable, updates.muon, updates.state, buffers.momentum,
          buffers.gradients, partials))
    }
    for (batch, span) in zip(batches, spans) {
      let own = chunkTable + span.lowerBound * MemoryLayout<mf_chunk>.stride
      commands.append(
        try kernel(
          "mf_muon_momentum" + moments, span.count, own, matrixTable, updates.muon, updates.state, partials,
          buffers.momentum, buffers.gradients, room.address))
      let (orthogonal, steps) = try batch.orthogonalization(at: room.address, products)
      commands += steps
      commands.append(
        try kernel(
          "mf_muon_weights", span.count, own, matrixTable, updates.muon, updates.state, orthogonal,
          buffers.weights, buffers.copy))
    }
    self.commands = commands
  }

  func run() throws(ComputeError) {
    for command in commands { try command.run(on: gpu, kernels, products) }
  }
}
