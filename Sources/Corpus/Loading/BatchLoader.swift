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
    package var packing = Packing.none
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

  /// How documents become rows.
  package enum Packing: Sendable, Equatable {
    /// Rows are cut wherever they end.
    case none
    /// As ``PackedRows`` has it; free room is filled with the end token, whose targets are ``padding``.
    case bestFit(endOfText: Int32)
  }

  /// What stands where a row has no target.
  package static let padding: Int32 = -1

  private let ring: BatchRing
  private var batchesTaken = 0
  private let startRow: Int

  package let batchSize: Int
  package let context: Int
  /// How many rows one pass over the data has.
  package let rowsPerEpoch: Int
  /// How long `next` has waited for data so far, in seconds.
  package private(set) var dataWaitSeconds = 0.0

  package convenience init(_ shards: [TokenShard], _ settings: Settings) throws(CorpusError) {
    try self.init([ShardGroup(shards: shards)], settings)
  }

  /// - Parameter groups: drawn from as their weights say.
  /// - Throws: ``CorpusError/tooFewTokens(path:needed:found:)`` unless each group has tokens for a row.
  package init(_ groups: [ShardGroup], _ settings: Settings) throws(CorpusError) {
    precondition(settings.batchSize > 0 && settings.startRow >= 0)
    let layout = try Self.layout(of: groups, settings)
    batchSize = settings.batchSize
    context = settings.context
    startRow = settings.startRow
    rowsPerEpoch = layout.rowsPerEpoch
    ring = BatchRing(
      settings, layout: layout, reader: ShardReader(groups.flatMap(\.shards), cacheBytes: settings.cacheBytes))
    ring.start()
  }

  private static func layout(of groups: [ShardGroup], _ settings: Settings) throws(CorpusError) -> any RowLayout {
    var layouts: [(rows: any RowLayout, shards: Int)] = []
    for group in groups {
      let rows = try layout(of: group.shards, settings)
      guard rows.rowsPerEpoch > 0 else {
        let largest = group.shards.max { $0.count < $1.count }
        throw .tooFewTokens(path: largest?.path ?? "data", needed: settings.context + 1, found: largest?.count ?? 0)
      }
      layouts.append((rows, group.shards.count))
    }
    if layouts.count == 1 { return layouts[0].rows }
    return RowMixture(layouts, weights: groups.map(\.weight), seed: settings.seed)
  }

  private static func layout(of shards: [TokenShard], _ settings: Settings) throws(CorpusError) -> any RowLayout {
    switch settings.packing {
    case .none:
      RowOrder(settings.order, counts: shards.map(\.count), context: settings.context, seed: settings.seed)
    case .bestFit(let endOfText):
      try withFiles(
        try PackedRows(
          settings.order, shards, context: settings.context, endOfText: endOfText, seed: settings.seed))
    }
  }

  deinit { ring.stop() }

  /// The number of the next row: what a run must keep in order to go on here.
  package var position: Int { startRow + batchesTaken * batchSize }

  /// Takes the next batch.
  ///
  /// - Parameter inputs: (B, T), gets the tokens.
  /// - Parameter targets: (B, T), gets the token behind each of them, or ``padding``.
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
    let tokens = ring.tokens(of: slot)
    _ = inputs.update(fromContentsOf: tokens.inputs)
    _ = targets.update(fromContentsOf: tokens.targets)
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
  private let settings: BatchLoader.Settings
  private let layout: any RowLayout
  private let reader: ShardReader
  /// (slots, 2, B, T): inputs and targets.
  private let buffer: UnsafeMutableBufferPointer<Int32>
  /// T + 1 tokens as they are read.
  private let row: UnsafeMutableBufferPointer<Int32>
  private var failures: [FormatError?]
  // Made with 0 and raised, because a semaphore below the value it was made with may not be freed.
  private let free = DispatchSemaphore(value: 0)
  private let filled = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let isStopped = Atomic(false)

  init(_ settings: BatchLoader.Settings, layout: any RowLayout, reader: ShardReader) {
    slots = max(1, settings.prefetch)
    self.settings = settings
    self.layout = layout
    self.reader = reader
    buffer = .allocate(capacity: slots * 2 * settings.batchSize * settings.context)
    buffer.initialize(repeating: 0)
    row = .allocate(capacity: settings.context + 1)
    row.initialize(repeating: 0)
    failures = Array(repeating: nil, count: slots)
    for _ in 0..<slots { free.signal() }
  }

  deinit {
    buffer.deallocate()
    row.deallocate()
  }

  typealias Tokens = UnsafeMutableBufferPointer<Int32>

  func tokens(of slot: Int) -> (inputs: Tokens, targets: Tokens) {
    let size = settings.batchSize * settings.context
    func part(_ index: Int) -> Tokens { Tokens(rebasing: buffer[index * size..<(index + 1) * size]) }
    return (part(2 * slot), part(2 * slot + 1))
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
    var row = settings.startRow
    while true {
      // Rows come first; where none is asked for, what is kept in memory makes the next ones faster.
      while free.wait(timeout: .now()) == .timedOut {
        guard !reader.fillSome() else { continue }
        free.wait()
        break
      }
      if isStopped.load(ordering: .acquiring) { return }
      do {
        try fill(slot, from: row)
      } catch {
        failures[slot] = error
        filled.signal()
        return
      }
      filled.signal()
      row += settings.batchSize
      slot = (slot + 1) % slots
    }
  }

  private func fill(_ slot: Int, from firstRow: Int) throws(FormatError) {
    let T = settings.context
    let (inputs, targets) = tokens(of: slot)
    for index in 0..<settings.batchSize {
      var place = index * T
      try layout.forEachPiece(ofRow: firstRow + index) { piece throws(FormatError) in
        let tokens = Tokens(rebasing: row[...piece.count])
        try reader.read(piece.shard, at: piece.start, into: tokens)
        for offset in 0..<piece.count {
          inputs[place + offset] = tokens[offset]
          targets[place + offset] = tokens[offset + 1]
        }
        place += piece.count
      }
      guard case .bestFit(let endOfText) = settings.packing else { continue }
      for free in place..<(index + 1) * T { (inputs[free], targets[free]) = (endOfText, BatchLoader.padding) }
    }
  }
}
