import Compute

/// Norms and lookups.
extension Lowering {
  func lower(_ op: Norm) throws(ComputeError) -> [Command] {
    let (rows, width) = (rows(op.x), width(op.x))
    let widest = try widest(width)
    return [
      try kernel(
        .norm, "mf_norm_\(widest)", size: widest, grid: (width <= 1024 ? tiles(rows, 8) : rows, 1, 1), op.kind.number,
        rows, width, op.epsilon, at.activation(op.x), at.floats(op.weight), at.floats(op.bias), at.activation(op.y),
        at.floats(op.mean), at.floats(op.rstd))
    ]
  }

  func lower(_ op: NormGradient) throws(ComputeError) -> [Command] {
    let (rows, width) = (rows(op.x), width(op.x))
    // As many as run at once.
    let blocks = width <= 1024 ? min(3 * device.multiprocessors, tiles(rows, 4)) : min(512, rows)
    let partials =
      op.dWeight == nil && op.dBias == nil ? nil : scratch.take(bytes: 4 * blocks * 2 * width)
    let widest = try widest(width)
    var commands = [
      try kernel(
        .norm, "mf_norm_gradient_\(widest)", size: widest, grid: (blocks, 1, 1), threads: width <= 1024 ? 128 : 256,
        sharedBytes: 8 * width, op.kind.number, rows, width, op.epsilon, at.activation(op.x), at.activation(op.dy),
        at.activation(op.addend), at.floats(op.weight), at.floats(op.bias), at.floats(op.mean), at.floats(op.rstd),
        at.activation(op.dx), at.activation(op.y), partials)
    ]
    guard let partials else { return commands }
    if let slot = op.dWeight {
      commands.append(try addPartials(blocks, width, partials, stride: 2 * width, to: slot.node, adds: adds(slot)))
    }
    if let slot = op.dBias {
      commands.append(
        try addPartials(blocks, width, partials + 4 * width, stride: 2 * width, to: slot.node, adds: adds(slot)))
    }
    return commands
  }

  func lower(_ op: CausalConvolution) throws(ComputeError) -> [Command] {
    let (rows, width) = (rows(op.x), width(op.x))
    return [
      try kernel(
        .convolution, "mf_convolution", grid: (tiles(width, 256), tiles(rows, 8), 1), rows, Int32(shape(op.x)[1]),
        width, Int32(shape(op.weight)[0]), op.cache.map { shape($0)[1] } ?? 0, at.activation(op.x),
        at.floats(op.weight), at.integers(op.positions), at.floats(op.cache), at.activation(op.y))
    ]
  }

  func lower(_ op: CausalConvolutionGradient) throws(ComputeError) -> [Command] {
    let (rows, width, time, taps) = (rows(op.x), width(op.x), Int32(shape(op.x)[1]), shape(op.weight)[0])
    let gradient = try kernel(
      .convolution, "mf_convolution_gradient", grid: (tiles(width, 256), tiles(rows, 8), 1), rows, time, width,
      Int32(taps), at.activation(op.x), at.floats(op.weight), at.integers(op.positions), at.activation(op.dy),
      at.activation(op.dx), at.activation(op.y))
    guard let slot = op.dWeight else { return [gradient] }
    let blocks = tiles(rows, 256)
    let partials = scratch.take(bytes: 4 * blocks * taps * width)
    return [
      gradient,
      try kernel(
        .convolution, "mf_convolution_weight_gradient", grid: (tiles(width, 256), blocks, taps), rows, time, width,
        Int32(taps), at.activation(op.x), at.integers(op.positions), at.activation(op.dy), partials),
      try addPartials(blocks, taps * width, partials, stride: taps * width, to: slot.node, adds: adds(slot)),
    ]
  }

  func lower(_ op: HeadNorm) throws(ComputeError) -> [Command] {
    [
      try kernel(
        .headNorm, "mf_head_norm", grid: (rows(op.x), 1, 1), threads: 128, width(op.x),
        Int32(op.layout.queryHeads + op.layout.keyValueHeads), Int32(op.layout.queryHeads),
        try headSize(op.layout, "head norm"), op.epsilon, at.activation(op.x), at.floats(op.queryWeight),
        at.floats(op.keyWeight), at.activation(op.y), at.floats(op.rstd))
    ]
  }

  func lower(_ op: HeadNormGradient) throws(ComputeError) -> [Command] {
    let (rows, D) = (rows(op.x), op.layout.headSize)
    let blocks = min(512, rows)
    let partials = op.dQueryWeight == nil && op.dKeyWeight == nil ? nil : scratch.take(bytes: 4 * blocks * 2 * D)
    var commands = [
      try kernel(
        .headNorm, "mf_head_norm_gradient", grid: (blocks, 1, 1), threads: 128, rows, width(op.x),
        Int32(op.layout.queryHeads + op.layout.keyValueHeads), Int32(op.layout.queryHeads),
        try headSize(op.layout, "head norm"), op.epsilon, at.activation(op.x), at.activation(op.dy),
        at.floats(op.queryWeight), at.floats(op.keyWeight), at.floats(op.rstd), at.activation(op.dx), partials)
    ]
    guard let partials else { return commands }
    if let slot = op.dQueryWeight {
      commands.append(try addPartials(blocks, D, partials, stride: 2 * D, to: slot.node, adds: adds(slot)))
    }
    if let slot = op.dKeyWeight {
      commands.append(try addPartials(blocks, D, partials + 4 * D, stride: 2 * D, to: slot.node, adds: adds(slot)))
    }
    return commands
  }

  /// Sorts the rows by id, then adds up equal ones.
  func lower(_ op: EmbeddingGradient) throws(ComputeError) -> [Command] {
    let table = op.dTable.node
    let (rows, width, vocabulary) = (rows(op.dy), width(table), self.rows(table))
    let blocks = tiles(rows, 2048)
    let keys = [scratch.take(bytes: 4 * rows), scratch.take(bytes: 4 * rows)]
    let orders = [scratch.take(bytes: 4 * rows), scratch.take(bytes: 4 * rows)]
    let offsets = scratch.take(bytes: 4 * 256 * blocks)
    let heads = scratch.take(bytes: 4 * tiles(rows, 32) * width)
    var commands: [Command] = []
    var (sorted, order): (Address, Address?) = (at.integers(op.ids), nil)
    let digits = max(1, tiles(Int.bitWidth - (vocabulary - 1).leadingZeroBitCount, 8))
    for digit in 0..<digits {
      let (shift, toKeys, toOrder) = (Int32(8 * digit), keys[digit % 2], orders[digit % 2])
      commands += [
        try kernel(.embedding, "mf_sort_count", grid: (blocks, 1, 1), rows, sorted, shift, offsets),
        try kernel(.embedding, "mf_sort_offsets", grid: (1, 1, 1), Int32(blocks), offsets),
        try kernel(
          .embedding, "mf_sort_move", grid: (blocks, 1, 1), rows, sorted, order, shift, offsets, toKeys, toOrder),
      ]
      (sorted, order) = (toKeys, toOrder)
    }
    if !adds(op.dTable) { commands.append(.clear(at.floats(table), bytes: 4 * shape(table).count)) }
    let grid = (tiles(rows, 32), tiles(width, 256), 1)
    commands += [
      try kernel(
        .embedding, "mf_embedding_gradient", grid: grid, threads: 32, rows, width, op.scale, sorted, order,
        at.activation(op.dy), at.floats(table), heads),
      try kernel(
        .embedding, "mf_embedding_gradient_rest", grid: grid, threads: 32, rows, width, sorted, at.floats(table),
        heads),
    ]
    return commands
  }

  /// The narrowest of the norms' kernels that takes rows of a width.
  private func widest(_ width: Int) throws(ComputeError) -> Int {
    guard let widest = [256, 512, 768, 1024, 2048, 4096, 8192].first(where: { $0 >= width }) else {
      throw .unavailable("norms of rows of \(width) elements: a GPU takes up to 8192")
    }
    return widest
  }

  func headSize(_ layout: HeadLayout, _ what: String) throws(ComputeError) -> Int32 {
    guard layout.headSize <= 256 else {
      throw .unavailable("\(what) of heads of \(layout.headSize) elements: a GPU takes up to 256")
    }
    return Int32(layout.headSize)
  }
}

extension NormKind {
  fileprivate var number: Int32 {
    switch self {
    case .layer: 0
    case .rms: 1
    }
  }
}
