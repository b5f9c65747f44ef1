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
  private let decoder: LogitsProgram
  private let decoding: any Execution
  /// The tokens in the cache.
  private var past: [Int32] = []

  /// What reads so many tokens, without logits, with those behind the last, and with all.
  private var fillers: [Int: (program: CacheProgram, execution: any Execution)] = [:]
  private var finishers: [Int: (program: PromptProgram, execution: any Execution)] = [:]
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
    decoder = try transformer.cachedProgram(batch: 1, time: 1, capacity: capacity)
    decoding = try executor.prepare(decoder.program, parameters: weights, states: cache)
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
    for pass in passes.dropLast() { try fill(pass, ids) }
    return last.width == 1 ? decode(ids[last.tokens.lowerBound]) : try finish(last, ids)
  }

  private func decode(_ id: Int32) -> [Float] {
    decoding.set(decoder.ids, [id])
    decoding.set(decoder.positions, [Int32(past.count)])
    decoding.run(RunContext())
    past.append(id)
    return decoding.get(decoder.logits)
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
    for pass in passes(ids.count) { try fill(pass, ids) }
  }

  private func fill(_ pass: Pass, _ ids: [Int32]) throws(ComputeError) {
    let (program, execution) = try filler(pass.width)
    execution.set(program.ids, pass.padded(ids))
    execution.set(program.positions, positions(pass.width))
    execution.run(RunContext())
    past += ids[pass.tokens]
  }

  /// Reads what is left of a prompt, and gives the logits behind it.
  private func finish(_ pass: Pass, _ ids: [Int32]) throws(ComputeError) -> [Float] {
    let (program, execution) = try finisher(pass.width)
    let count = Int32(pass.tokens.count)
    execution.set(program.ids, pass.padded(ids))
    execution.set(program.positions, positions(pass.width))
    execution.set(program.last, [count - 1, count])
    execution.run(RunContext())
    past += ids[pass.tokens]
    return execution.get(program.logits)
  }

  /// Appends tokens and gives the logits (V) behind each of them, in order; they must fit into the context.
  ///
  /// - Throws: ``ComputeError``.
  package func score(_ ids: [Int32], each: (ArraySlice<Float>) -> Void) throws(ComputeError) {
    let V = transformer.config.vocabularySize
    for pass in passes(ids.count, limit: Self.scoredChunk) {
      let (program, execution) = try scorer(pass.width)
      execution.set(program.ids, pass.padded(ids))
      execution.set(program.positions, positions(pass.width))
      execution.run(RunContext())
      let logits = execution.get(program.logits)
      for row in 0..<pass.tokens.count { each(logits[row * V..<(row + 1) * V]) }
      past += ids[pass.tokens]
    }
  }

  private func positions(_ count: Int) -> [Int32] { (0..<count).map { Int32(past.count + $0) } }

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

  private func filler(_ count: Int) throws(ComputeError) -> (CacheProgram, any Execution) {
    if let ready = fillers[count] { return ready }
    let program = try transformer.cacheProgram(batch: 1, time: count, capacity: capacity)
    let execution = try executor.prepare(program.program, parameters: weights, states: cache)
    fillers[count] = (program, execution)
    return (program, execution)
  }

  private func finisher(_ count: Int) throws(ComputeError) -> (PromptProgram, any Execution) {
    if let ready = finishers[count] { return ready }
    let program = try transformer.promptProgram(batch: 1, time: count, capacity: capacity)
    let execution = try executor.prepare(program.program, parameters: weights, states: cache)
    finishers[count] = (program, execution)
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
