import Dispatch
package import Formats
import Synchronization

/// Hands out batches of rows, read ahead by a thread of its own.
///
/// Batches wait in a ring of buffers that are allocated once: taking one allocates nothing. What the thread can't read
/// is thrown by ``next(inputs:targets:)`` when its batch is asked for.
package final class BatchLoader {
  package struct Settings: Sendable {
    /// Rows of a batch (B).
    package var batchSize: Int
    /// Inputs of a row (T).
    package var context: Int
    package var order = RowOrder.Kind.shuffled
    package var seed: UInt64 = 0
    /// The number of the first row: how many rows the run has consumed before.
    package var startRow = 0
    /// Batches that are read ahead.
    package var prefetch = 4
    /// Bytes of shards that are kept in memory.
    package var cacheBytes = 256 << 20

    package init(batchSize: Int, context: Int) {
      self.batchSize = batchSize
      self.context = context
    }
  }

  private let ring: BatchRing
  private let rowLength: Int
  private var batchesTaken = 0
  private let startRow: Int

  package let batchSize: Int
  package let context: Int
  /// How many rows one pass over the data has.
  package let rowsPerEpoch: Int
  /// How long `next` has waited for data so far, in seconds.
  package private(set) var dataWaitSeconds = 0.0

  /// - Throws: ``CorpusError/tooFewTokens(path:needed:found:)`` unless a shard has at least T + 1 tokens.
  package init(_ shards: [TokenShard], _ settings: Settings) throws(CorpusError) {
    precondition(settings.batchSize > 0 && settings.startRow >= 0)
    let order = RowOrder(
      settings.order, counts: shards.map(\.count), context: settings.context, seed: settings.seed)
    guard order.rowsPerEpoch > 0 else {
      let largest = shards.max { $0.count < $1.count }
      throw .tooFewTokens(path: largest?.path ?? "data", needed: settings.context + 1, found: largest?.count ?? 0)
    }
    batchSize = settings.batchSize
    context = settings.context
    startRow = settings.startRow
    rowsPerEpoch = order.rowsPerEpoch
    rowLength = settings.context + 1
    ring = BatchRing(
      slots: max(1, settings.prefetch), rows: settings.batchSize, rowLength: rowLength, order: order,
      startRow: settings.startRow, reader: ShardReader(shards, cacheBytes: settings.cacheBytes))
    ring.start()
  }

  deinit { ring.stop() }

  /// The number of the next row: what a run must keep in order to go on here.
  package var position: Int { startRow + batchesTaken * batchSize }

  /// Takes the next batch.
  ///
  /// - Parameter inputs: (B, T), gets the tokens.
  /// - Parameter targets: (B, T), gets the token behind each of them.
  /// - Throws: what the reading thread met; the loader gives no more batches then.
  package func next(
    inputs: UnsafeMutableBufferPointer<Int32>, targets: UnsafeMutableBufferPointer<Int32>
  ) throws(CorpusError) {
    precondition(inputs.count == batchSize * context && targets.count == batchSize * context)
    if !ring.isBatchReady() {
      let start = DispatchTime.now().uptimeNanoseconds
      ring.waitForBatch()
      dataWaitSeconds += Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
    }
    let slot = batchesTaken % ring.slots
    if let error = ring.failure(of: slot) {
      // The slot stays full, so that asking again gives the same answer.
      ring.putBack()
      throw .file(error)
    }
    guard let from = ring.tokens(of: slot).baseAddress, let inputStart = inputs.baseAddress,
      let targetStart = targets.baseAddress
    else { return }
    for row in 0..<batchSize {
      (inputStart + row * context).update(from: from + row * rowLength, count: context)
      (targetStart + row * context).update(from: from + row * rowLength + 1, count: context)
    }
    ring.release()
    batchesTaken += 1
  }
}

/// The buffers between the reading thread and the one that trains.
///
/// Unchecked, because the semaphores order what the compiler can't see: the reader owns a slot from `free` to `filled`,
/// the taker from `filled` to `free`.
private final class BatchRing: @unchecked Sendable {
  let slots: Int
  private let rows: Int
  private let rowLength: Int
  private let order: RowOrder
  private let startRow: Int
  private let reader: ShardReader
  private let buffer: UnsafeMutableBufferPointer<Int32>
  private var failures: [FormatError?]
  // Made with 0 and raised, because a semaphore below the value it was made with may not be freed.
  private let free = DispatchSemaphore(value: 0)
  private let filled = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let isStopped = Atomic(false)

  init(slots: Int, rows: Int, rowLength: Int, order: RowOrder, startRow: Int, reader: ShardReader) {
    self.slots = slots
    self.rows = rows
    self.rowLength = rowLength
    self.order = order
    self.startRow = startRow
    self.reader = reader
    buffer = .allocate(capacity: slots * rows * rowLength)
    buffer.initialize(repeating: 0)
    failures = Array(repeating: nil, count: slots)
    for _ in 0..<slots { free.signal() }
  }

  deinit { buffer.deallocate() }

  func tokens(of slot: Int) -> UnsafeMutableBufferPointer<Int32> {
    UnsafeMutableBufferPointer(rebasing: buffer[slot * rows * rowLength..<(slot + 1) * rows * rowLength])
  }

  func failure(of slot: Int) -> FormatError? { failures[slot] }
  func isBatchReady() -> Bool { filled.wait(timeout: .now()) == .success }
  func waitForBatch() { filled.wait() }
  func putBack() { filled.signal() }
  func release() { free.signal() }

  func start() {
    DispatchQueue(label: "mayfly.batch-loader", qos: .userInitiated).async { self.run() }
  }

  /// Ends the thread and waits until it has.
  func stop() {
    isStopped.store(true, ordering: .releasing)
    free.signal()
    ended.wait()
  }

  private func run() {
    defer { ended.signal() }
    var slot = 0
    var row = startRow
    while true {
      free.wait()
      if isStopped.load(ordering: .acquiring) { return }
      do {
        try reader.fillCache()
        try fill(tokens(of: slot), from: row)
      } catch {
        failures[slot] = error
        filled.signal()
        return
      }
      filled.signal()
      row += rows
      slot = (slot + 1) % slots
    }
  }

  private func fill(_ tokens: UnsafeMutableBufferPointer<Int32>, from firstRow: Int) throws(FormatError) {
    for index in 0..<rows {
      let row = order[firstRow + index]
      let part = UnsafeMutableBufferPointer(rebasing: tokens[index * rowLength..<(index + 1) * rowLength])
      try reader.read(row.shard, at: row.start, into: part)
    }
  }
}
