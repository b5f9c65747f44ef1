package import Compute

/// Rows of T tokens for a program to read, in memory that is allocated once.
package final class TokenBatch {
  package let rows: Int
  package let time: Int
  /// S: sequences of a row that have a target each; nil: every token has one.
  package let perRow: Int?
  /// (rows, T); positions are 0..<T in each row unless a source says otherwise.
  package let ids, positions: UnsafeMutableBufferPointer<Int32>
  /// (rows, T) or (rows, S).
  package let targets: UnsafeMutableBufferPointer<Int32>
  /// As targets: how much a target counts; 0: not at all, whatever stands there. At first 1.
  package let weights: UnsafeMutableBufferPointer<Float>
  /// (rows, T, 2), see `KeyRanges`; empty unless the mask is ``MaskKind/ranges``.
  package let ranges: UnsafeMutableBufferPointer<Int32>
  /// (rows, S, 2): the tokens whose states make a sequence's vector; empty where every token has a target.
  package let pools: UnsafeMutableBufferPointer<Int32>

  package init(rows: Int, time: Int, mask: MaskKind = .causal, perRow: Int? = nil) {
    (self.rows, self.time, self.perRow) = (rows, time, perRow)
    let count = rows * time
    let targetCount = rows * (perRow ?? time)
    (ids, positions, targets) = (
      .allocate(capacity: count), .allocate(capacity: count), .allocate(capacity: targetCount)
    )
    weights = .allocate(capacity: targetCount)
    ranges = .allocate(capacity: mask == .ranges ? 2 * count : 0)
    pools = .allocate(capacity: perRow == nil ? 0 : 2 * targetCount)
    for buffer in [ids, targets, ranges, pools] { buffer.initialize(repeating: 0) }
    for index in positions.indices { positions.initializeElement(at: index, to: Int32(index % time)) }
    weights.initialize(repeating: 1)
  }

  deinit {
    for buffer in [ids, positions, targets, ranges, pools] { buffer.deallocate() }
    weights.deallocate()
  }

  /// Sets the inputs of a program to rows `rows` of this batch, as many as its B.
  package func bind(
    rows: Range<Int>, to program: LossProgram, of execution: any Execution
  ) throws(ComputeError) {
    try bind(rows, program.ids, program.positions, program.ranges, program.pools, of: execution)
    let part = targetRange(rows)
    try execution.set(program.targets, UnsafeBufferPointer(rebasing: targets[part]))
    try execution.set(program.weights, UnsafeBufferPointer(rebasing: weights[part]))
  }

  /// Sets the inputs of a program to this whole batch.
  package func bind(to program: PoolProgram, of execution: any Execution) throws(ComputeError) {
    try bind(0..<rows, program.ids, program.positions, program.ranges, program.pools, of: execution)
  }

  private func bind(
    _ rows: Range<Int>, _ ids: Node, _ positions: Node, _ ranges: Node?, _ pools: Node?, of execution: any Execution
  ) throws(ComputeError) {
    let part = rows.lowerBound * time..<rows.upperBound * time
    try execution.set(ids, UnsafeBufferPointer(rebasing: self.ids[part]))
    try execution.set(positions, UnsafeBufferPointer(rebasing: self.positions[part]))
    if let ranges {
      try execution.set(ranges, UnsafeBufferPointer(rebasing: self.ranges[2 * part.lowerBound..<2 * part.upperBound]))
    }
    if let pools {
      let part = targetRange(rows)
      try execution.set(pools, UnsafeBufferPointer(rebasing: self.pools[2 * part.lowerBound..<2 * part.upperBound]))
    }
  }

  /// The targets of some rows.
  package func targetRange(_ rows: Range<Int>) -> Range<Int> {
    let perRow = perRow ?? time
    return rows.lowerBound * perRow..<rows.upperBound * perRow
  }

  /// The sum of all weights: what an update's loss is divided by.
  package var totalWeight: Double {
    var sum = 0.0
    for weight in weights { sum += Double(weight) }
    return sum
  }
}

// MARK: Sequences in rows

extension TokenBatch {
  /// Makes a row empty: its tokens see themselves alone, and nothing counts. The mask must be ``MaskKind/ranges``.
  package func clear(row: Int) {
    for t in 0..<time {
      let index = row * time + t
      (ids[index], positions[index]) = (0, 0)
      (ranges[2 * index], ranges[2 * index + 1]) = (Int32(t), Int32(t + 1))
    }
    for index in targetRange(row..<row + 1) {
      (targets[index], weights[index]) = (0, 0)
      if !pools.isEmpty { (pools[2 * index], pools[2 * index + 1]) = (0, 0) }
    }
  }

  /// Puts a sequence at `start` of a row, where it sees nothing but itself.
  package func place(_ sequence: some Collection<Int32>, row: Int, start: Int, isBidirectional: Bool) {
    precondition(row < rows && start + sequence.count <= time)
    let first = row * time + start
    for (position, id) in sequence.enumerated() { ids[first + position] = id }
    see(first..<first + sequence.count, isBidirectional: isBidirectional)
  }

  /// Lets tokens see nothing but each other, the first of them at position 0. The mask must be ``MaskKind/ranges``.
  ///
  /// - Parameter tokens: indices into ``ids``, all of one row.
  package func see(_ tokens: Range<Int>, isBidirectional: Bool) {
    let start = tokens.lowerBound % time
    for (position, index) in tokens.enumerated() {
      positions[index] = Int32(position)
      let end = start + (isBidirectional ? tokens.count : position + 1)
      (ranges[2 * index], ranges[2 * index + 1]) = (Int32(start), Int32(end))
    }
  }

  /// Lets no token see more than the last `count` tokens, itself among them. The mask must be ``MaskKind/ranges``.
  ///
  /// - Parameter isCausal: tokens see all before them in their row, whatever they saw in the batch before; otherwise what
  ///   their ranges say.
  package func look(back count: Int, isCausal: Bool) {
    for index in ids.indices {
      if isCausal { (ranges[2 * index], ranges[2 * index + 1]) = (0, Int32(index % time + 1)) }
      ranges[2 * index] = max(ranges[2 * index], ranges[2 * index + 1] - Int32(count))
    }
  }

  /// Sequence `place` of a row gets its vector from these tokens.
  package func setPool(_ tokens: Range<Int>, row: Int, place: Int) {
    guard let perRow, place < perRow else { preconditionFailure("a row has room for \(perRow ?? 0) sequences") }
    let index = 2 * (row * perRow + place)
    (pools[index], pools[index + 1]) = (Int32(tokens.lowerBound), Int32(tokens.upperBound))
  }
}
