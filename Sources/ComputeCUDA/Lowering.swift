import Compute

/// Turns operations over values into kernel launches and products over addresses.
///
/// Grids, blocks and shared memory are as the kernels' texts state them.
struct Lowering {
  let graph: Graph
  let at: Addresses
  let kernels: Kernels
  let products: MatrixProducts
  let scratch: Scratch
  let device: CUDADevice
  /// Whether there are gradients: then products are worth timing.
  let isTraining: Bool
  /// Whether gradients are added to those of the micro-steps before.
  let accumulates: Bool
  /// Cosines and sines for rotary positions.
  let rotaryTable: (RotaryFrequencies, Int) throws(ComputeError) -> RotaryTable

  func shape(_ node: Node) -> Shape { graph.shape(node) }
  func rows(_ node: Node) -> Int { shape(node).rows }
  func width(_ node: Node) -> Int { shape(node).width }
  func adds(_ slot: GradientSlot) -> Bool { slot.addsAlways || accumulates }

  /// - Parameter storage: nil is that of the program's activations.
  func kernel(
    _ file: Kernels.File, _ name: String, storage: Precision? = nil, size: Int? = nil, grid: (Int, Int, Int),
    threads: Int = 256, sharedBytes: Int = 0, _ arguments: any KernelArgument...
  ) throws(ComputeError) -> Command {
    .kernel(
      try kernels.call(
        file, name, storage: storage ?? graph.precision, size: size, grid: grid, threads: threads,
        sharedBytes: sharedBytes, arguments))
  }

  /// y (+)= the sum of partial sums, `stride` elements apart.
  func addPartials(
    _ blocks: Int, _ width: Int, _ partials: Address, stride: Int, to gradient: Node, adds: Bool
  ) throws(ComputeError) -> Command {
    try kernel(
      .sums, "mf_add_partials", grid: (tiles(width, 32), 1, 1), threads: 1024, blocks, width, partials, stride,
      at.floats(gradient), adds)
  }

  func lower(_ operation: Operation) throws(ComputeError) -> [Command] {
    scratch.begin()
    switch operation {
    case .embedding(let op):
      return [
        try kernel(
          .embedding, "mf_embedding", grid: (tiles(rows(op.y), 8), tiles(width(op.y), 256), 1), rows(op.y),
          width(op.y), op.scale, at.integers(op.ids), at.operand(op.table), at.activation(op.y))
      ]
    case .embeddingGradient(let op): return try lower(op)
    case .norm(let op): return try lower(op)
    case .normGradient(let op): return try lower(op)
    case .headNorm(let op): return try lower(op)
    case .headNormGradient(let op): return try lower(op)
    case .linear(let op): return try lower(op)
    case .linearInputGradient(let op): return try lower(op)
    case .linearWeightGradient(let op): return try lower(op)
    case .attention(let op): return try lower(op)
    case .attentionGradient(let op): return try lower(op)
    case .cachedAttention(let op): return try lower(op)
    case .logits(let op): return try lower(op)
    case .headLoss(let op): return try lower(op)

    case .rotary(let op):
      let table = try rotaryTable(op.frequencies, op.maxPositions)
      return [
        try kernel(
          .rotary, "mf_rotary", grid: (rows(op.x), 1, 1), threads: 128, width(op.x),
          Int32(op.layout.queryHeads + op.layout.keyValueHeads), Int32(op.layout.headSize), at.integers(op.positions),
          table.cosines, table.sines, op.inverse, at.activation(op.x), at.activation(op.y))
      ]

    case .activation(let op): return [try activation(op.kind, gated: op.gated, x: op.x, y: op.y)]
    case .activationGradient(let op):
      let (rows, width) = activationShape(op.dy, gated: op.gated)
      return [
        try kernel(
          .activation, op.gated ? "mf_gated_activation_gradient" : "mf_activation_gradient",
          grid: activationGrid(rows, width), op.kind.number, rows, width, at.activation(op.x), at.activation(op.dy),
          at.activation(op.dx), at.activation(op.y))
      ]

    case .dropout(let op):
      let count = shape(op.x).count
      return [
        try kernel(
          .dropout, "mf_dropout", grid: flat(count), count, op.rate, op.site, at.run, at.activation(op.x),
          at.activation(op.y))
      ]
    case .add(let op):
      let count = shape(op.y).count
      return [
        try kernel(
          .elementwise, "mf_add", grid: flat(count), count, at.activation(op.a), at.activation(op.b),
          at.activation(op.y))
      ]

    case .causalConvolution(let op): return try lower(op)
    case .causalConvolutionGradient(let op): return try lower(op)

    case .meanPool(let op):
      let (x, y) = (shape(op.x), shape(op.y))
      return [
        try kernel(
          .meanPool, "mf_mean_pool", grid: (tiles(x.width, 256), y[1], x[0]), Int32(x[1]), x.width,
          at.integers(op.ranges), at.activation(op.x), at.activation(op.y))
      ]
    case .meanPoolGradient(let op):
      let (dx, dy) = (shape(op.dx), shape(op.dy))
      return [
        try kernel(
          .meanPool, "mf_mean_pool_gradient", grid: (tiles(dx.width, 256), tiles(dx[1], 8), dx[0]), Int32(dx[1]),
          dx.width, Int32(dy[1]), at.integers(op.ranges), at.activation(op.dy), at.activation(op.dx))
      ]
    }
  }

  func activation(_ kind: ActivationKind, gated: Bool, x: Node, y: Node) throws(ComputeError) -> Command {
    let (rows, width) = activationShape(y, gated: gated)
    return try kernel(
      .activation, gated ? "mf_gated_activation" : "mf_activation", grid: activationGrid(rows, width), kind.number,
      rows,
      width, at.activation(x), at.activation(y))
  }

  // MARK: Grids

  /// Of kernels on flat ranges: eight elements for each of 256 threads.
  func flat(_ count: Int) -> (Int, Int, Int) { (tiles(count, 2048), 1, 1) }

  /// A plain activation is one long row.
  private func activationShape(_ y: Node, gated: Bool) -> (rows: Int, width: Int) {
    gated ? (rows(y), width(y)) : (1, shape(y).count)
  }

  private func activationGrid(_ rows: Int, _ width: Int) -> (Int, Int, Int) {
    (tiles(rows * tiles(width, 8), 256), 1, 1)
  }
}

/// How many tiles of a size cover so many.
func tiles(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }

extension ActivationKind {
  /// Of `activation_kind` in activation.cu.
  fileprivate var number: Int32 {
    switch self {
    case .relu: 0
    case .reluSquared: 1
    case .silu: 2
    case .gelu: 3
    case .geluTanh: 4
    }
  }
}
