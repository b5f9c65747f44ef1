package import Compute
package import Models

/// One sequence that grows token by token, with its keys and values cached.
///
/// Rewound to 0, it begins another one with everything that was made for the sequences before.
package final class KeyValueSession {
  private let transformer: Transformer
  private let executor: any Executor
  private let weights: any ParameterStore
  private let cache: any ParameterStore
  /// Tokens that there may be in all.
  package let capacity: Int
  private let decode: LogitsProgram
  private let decoding: any Execution
  /// The tokens in the cache.
  private var past: [Int32] = []

  /// What reads so many tokens, without and with logits.
  private var fillers: [Int: (program: CacheProgram, execution: any Execution)] = [:]
  private var scorers: [Int: (program: LogitsProgram, execution: any Execution)] = [:]

  /// Tokens that one pass of the prompt takes: bounds the memory of activations, and of logits.
  package static let chunk = 256
  private static let scoredChunk = 64

  /// - Parameter longest: how many tokens there may be in all; nil: no limit. A context that is longer takes no memory.
  /// - Throws: ``ComputeError``.
  package init(
    _ transformer: Transformer, weights: any ParameterStore, executor: any Executor, longest: Int? = nil
  ) throws(ComputeError) {
    self.transformer = transformer
    self.weights = weights
    self.executor = executor
    capacity = max(1, min(transformer.config.maxPositions, longest ?? .max))
    cache = try executor.makeParameters(
      transformer.cacheLayout(batch: 1, capacity: capacity), training: false)
    decode = try transformer.cachedProgram(batch: 1, time: 1, capacity: capacity)
    decoding = try executor.prepare(decode.program, parameters: weights, states: cache)
  }

  /// Appends tokens and gives the logits (V) of what follows the last.
  ///
  /// When the context is full, its older half is forgotten and the rest is read again.
  ///
  /// - Throws: ``ComputeError``. `ids` must not be empty.
  package func append(_ ids: [Int32]) throws(ComputeError) -> [Float] {
    var ids = ids
    if past.count + ids.count > capacity {
      ids = Array((past + ids).suffix(max(1, capacity / 2)))
      past = []
    }
    if ids.count > 1 { try read(Array(ids.dropLast())) }
    guard let last = ids.last else { preconditionFailure("nothing to append") }
    decoding.set(decode.ids, [last])
    decoding.set(decode.positions, [Int32(past.count)])
    decoding.run(RunContext())
    past.append(last)
    return decoding.get(decode.logits)
  }

  /// Makes a text the whole sequence and gives the logits (V) of what follows it. Only what it doesn't have in common
  /// with the sequence so far is read.
  ///
  /// - Throws: ``ComputeError``. `ids` must not be empty.
  package func logits(behind ids: [Int32]) throws(ComputeError) -> [Float] {
    // The last token is read in any case, as its logits aren't kept.
    let common = zip(past, ids.dropLast()).prefix { $0 == $1 }.count
    rewind(to: common)
    return try append(Array(ids[common...]))
  }

  /// Forgets all tokens but the first `count`; what runs them stays ready.
  package func rewind(to count: Int) {
    past.removeLast(max(0, past.count - count))
  }

  /// Appends tokens without asking for logits; they must fit into the context.
  ///
  /// - Throws: ``ComputeError``.
  package func read(_ ids: [Int32]) throws(ComputeError) {
    for piece in pieces(of: ids, limit: Self.chunk) {
      let (fill, filling) = try filler(piece.count)
      filling.set(fill.ids, Array(ids[piece]))
      filling.set(fill.positions, positions(piece.count))
      filling.run(RunContext())
      past += ids[piece]
    }
  }

  /// Appends tokens and gives the logits (V) behind each of them, in order; they must fit into the context.
  ///
  /// - Throws: ``ComputeError``.
  package func score(_ ids: [Int32], each: (ArraySlice<Float>) -> Void) throws(ComputeError) {
    let V = transformer.config.vocabularySize
    for piece in pieces(of: ids, limit: Self.scoredChunk) {
      let (score, scoring) = try scorer(piece.count)
      scoring.set(score.ids, Array(ids[piece]))
      scoring.set(score.positions, positions(piece.count))
      scoring.run(RunContext())
      let logits = scoring.get(score.logits)
      for row in 0..<piece.count { each(logits[row * V..<(row + 1) * V]) }
      past += ids[piece]
    }
  }

  private func positions(_ count: Int) -> [Int32] { (0..<count).map { Int32(past.count + $0) } }

  /// Cuts ids into powers of two, so that a handful of programs reads prompts of any length.
  private func pieces(of ids: [Int32], limit: Int) -> [Range<Int>] {
    precondition(ids.count <= capacity - past.count, "more tokens than the context takes")
    var pieces: [Range<Int>] = []
    var start = 0
    while start < ids.count {
      let rest = ids.count - start
      let count = min(limit, 1 << (Int.bitWidth - 1 - rest.leadingZeroBitCount))
      pieces.append(start..<start + count)
      start += count
    }
    return pieces
  }

  private func filler(_ count: Int) throws(ComputeError) -> (CacheProgram, any Execution) {
    if let ready = fillers[count] { return ready }
    let program = try transformer.cacheProgram(batch: 1, time: count, capacity: capacity)
    let execution = try executor.prepare(program.program, parameters: weights, states: cache)
    fillers[count] = (program, execution)
    return (program, execution)
  }

  private func scorer(_ count: Int) throws(ComputeError) -> (LogitsProgram, any Execution) {
    if let ready = scorers[count] { return ready }
    let program = try transformer.cachedProgram(batch: 1, time: count, capacity: capacity)
    let execution = try executor.prepare(program.program, parameters: weights, states: cache)
    scorers[count] = (program, execution)
    return (program, execution)
  }
}
