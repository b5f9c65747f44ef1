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
  /// The tokens in the cache.
  private var past: [Int32] = []

  /// What was made so far: a program that takes so many tokens and gives these logits, and its execution.
  private var ready: [Kind: (program: CachedProgram, execution: any Execution)] = [:]

  private struct Kind: Hashable {
    let width: Int
    let logits: CachedLogits
  }

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
    // Whoever makes a session wants to write: that there is no memory for it shows here.
    _ = try reader(Kind(width: 1, logits: .last))
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
    let passes = passes(ids.count)
    guard let last = passes.last else { preconditionFailure("nothing to append") }
    for pass in passes.dropLast() { _ = try run(pass, ids, logits: .none) }
    return try run(last, ids, logits: .last)
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
    for pass in passes(ids.count) { _ = try run(pass, ids, logits: .none) }
  }

  /// Appends tokens and gives the logits (V) behind each of them, in order; they must fit into the context.
  ///
  /// - Throws: ``ComputeError``.
  package func score(_ ids: [Int32], each: (ArraySlice<Float>) -> Void) throws(ComputeError) {
    let V = transformer.config.vocabularySize
    for pass in passes(ids.count, limit: Self.scoredChunk) {
      let logits = try run(pass, ids, logits: .all)
      for row in 0..<pass.tokens.count { each(logits[row * V..<(row + 1) * V]) }
    }
  }

  /// Appends a pass' tokens and gives the logits that are asked for: none, (V) behind the last, or (width · V).
  private func run(_ pass: Pass, _ ids: [Int32], logits: CachedLogits) throws(ComputeError) -> [Float] {
    let (program, execution) = try reader(Kind(width: pass.width, logits: logits))
    try execution.set(program.ids, pass.padded(ids))
    try execution.set(program.positions, (0..<pass.width).map { Int32(past.count + $0) })
    if let last = program.last {
      let count = Int32(pass.tokens.count)
      try execution.set(last, [count - 1, count])
    }
    try execution.run(RunContext())
    past += ids[pass.tokens]
    guard let result = program.logits else { return [] }
    return try execution.get(result)
  }

  private func reader(_ kind: Kind) throws(ComputeError) -> (program: CachedProgram, execution: any Execution) {
    if let known = ready[kind] { return known }
    let program = try transformer.cachedProgram(
      batch: 1, time: kind.width, capacity: capacity, logits: kind.logits)
    let made = (program, try executor.prepare(program.program, parameters: weights, states: cache))
    ready[kind] = made
    return made
  }

  /// Tokens read at once, by a program that takes `width`, a power of two.
  private struct Pass {
    let tokens: Range<Int>
    let width: Int

    /// What stands behind the tokens changes nothing: nobody sees the keys of later positions before they are written again.
    func padded(_ ids: [Int32]) -> [Int32] { ids[tokens] + [Int32](repeating: 0, count: width - tokens.count) }
  }

  /// Cuts a prompt of so many tokens into passes, so that a handful of programs reads prompts of any length.
  ///
  /// Each pass reads all weights, which takes as long as computing some sixteen rows: so the last passes are not
  /// always full.
  private func passes(_ count: Int, limit: Int = KeyValueSession.chunk) -> [Pass] {
    precondition(count <= capacity - past.count, "more tokens than the context takes")
    var passes: [Pass] = []
    var start = 0
    while start < count {
      let rest = count - start
      let full = min(limit, 1 << (Int.bitWidth - 1 - rest.leadingZeroBitCount))
      let pays = rest > full && 2 * full <= limit && (full < 16 || 2 * rest >= 3 * full)
      let width = pays && past.count + start + 2 * full <= capacity ? 2 * full : full
      passes.append(Pass(tokens: start..<start + min(rest, width), width: width))
      start += width
    }
    return passes
  }
}
