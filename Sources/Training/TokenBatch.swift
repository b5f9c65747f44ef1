import Compute
package import Models

/// What one update reads: rows of T tokens, in memory that is allocated once.
package final class TokenBatch {
  package let rows: Int
  package let time: Int
  /// (rows, T); positions are 0..<T in each row unless a source says otherwise.
  package let ids, positions, targets: UnsafeMutableBufferPointer<Int32>
  /// (rows, T): how much a target counts; 0: not at all, whatever stands there. At first 1.
  package let weights: UnsafeMutableBufferPointer<Float>
  /// (rows, T, 2), see `KeyRanges`; empty unless the mask is ``MaskKind/ranges``.
  package let ranges: UnsafeMutableBufferPointer<Int32>

  package init(rows: Int, time: Int, mask: MaskKind = .causal) {
    (self.rows, self.time) = (rows, time)
    let count = rows * time
    (ids, positions, targets) = (.allocate(capacity: count), .allocate(capacity: count), .allocate(capacity: count))
    weights = .allocate(capacity: count)
    ranges = .allocate(capacity: mask == .ranges ? 2 * count : 0)
    for buffer in [ids, targets, ranges] { buffer.initialize(repeating: 0) }
    for index in positions.indices { positions.initializeElement(at: index, to: Int32(index % time)) }
    weights.initialize(repeating: 1)
  }

  deinit {
    for buffer in [ids, positions, targets, ranges] { buffer.deallocate() }
    weights.deallocate()
  }

  /// Sets the inputs of a program to rows `rows` of this batch, as many as its B.
  func bind(rows: Range<Int>, to program: LossProgram, of execution: any Execution) {
    let part = rows.lowerBound * time..<rows.upperBound * time
    execution.set(program.ids, UnsafeBufferPointer(rebasing: ids[part]))
    execution.set(program.positions, UnsafeBufferPointer(rebasing: positions[part]))
    execution.set(program.targets, UnsafeBufferPointer(rebasing: targets[part]))
    execution.set(program.weights, UnsafeBufferPointer(rebasing: weights[part]))
    if let node = program.ranges {
      execution.set(node, UnsafeBufferPointer(rebasing: ranges[2 * part.lowerBound..<2 * part.upperBound]))
    }
  }

  /// The sum of all weights: what the update's loss is divided by.
  var totalWeight: Double {
    var sum = 0.0
    for weight in weights { sum += Double(weight) }
    return sum
  }
}

/// Where a training's rows come from: text, masked text, examples of a task.
package protocol BatchSource: AnyObject {
  var mask: MaskKind { get }
  /// Seconds that ``next(_:)`` has waited for data so far.
  var dataWaitSeconds: Double { get }
  /// Fills the rows of the next update. It should allocate nothing.
  func next(_ batch: TokenBatch) throws
}
