package import Compute
package import Models

/// One sequence that grows token by token, with its keys and values cached.
package final class KeyValueSession {
  private let transformer: Transformer
  private let executor: any Executor
  private let weights: any ParameterStore
  private let cache: any ParameterStore
  private let capacity: Int
  private let decode: LogitsProgram
  private let decoding: any Execution
  /// The tokens in the cache.
  private var past: [Int32] = []

  private var lastFiller: (count: Int, program: CacheProgram, execution: any Execution)?

  /// Tokens that one pass of the prompt takes: bounds the memory of activations.
  private static let chunk = 256

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

  /// Forgets all tokens but the first `count`, which need not be read again.
  package func rewind(to count: Int) { past.removeLast(max(0, past.count - count)) }

  /// Fills the cache without asking for logits.
  private func read(_ ids: [Int32]) throws(ComputeError) {
    var start = 0
    while start < ids.count {
      let count = min(Self.chunk, ids.count - start)
      let (fill, filling) = try filler(count)
      filling.set(fill.ids, Array(ids[start..<start + count]))
      filling.set(fill.positions, (0..<count).map { Int32(past.count + $0) })
      filling.run(RunContext())
      past += ids[start..<start + count]
      start += count
    }
  }
  /// What reads `count` tokens; the one of the piece before where that was as long.
  private func filler(_ count: Int) throws(ComputeError) -> (CacheProgram, any Execution) {
    if let lastFiller, lastFiller.count == count { return (lastFiller.program, lastFiller.execution) }
    let program = try transformer.cacheProgram(batch: 1, time: count, capacity: capacity)
    let execution = try executor.prepare(program.program, parameters: weights, states: cache)
    lastFiller = (count, program, execution)
    return (program, execution)
  }
}
