package import Formats

/// A whole split in rows of the context, in which every token but the first is predicted exactly once.
///
/// Row i has tokens iT to iT + T − 1 as inputs and the ones behind them as targets. The shards count as one text, so
/// that nothing is lost where they meet. What is missing of the last row, and of the last batch, has weight 0.
package struct EvaluationRows: Sendable {
  package let context: Int
  package let batchSize: Int
  /// How many tokens are predicted in all.
  package let predictedTokens: Int
  private let shards: [TokenShard]

  /// - Parameter limit: stop after so many rows; nil for the whole split.
  /// - Throws: ``CorpusError/tooFewTokens(path:needed:found:)`` unless there are two tokens.
  package init(_ shards: [TokenShard], batchSize: Int, context: Int, limit: Int? = nil) throws(CorpusError) {
    precondition(batchSize > 0 && context > 0)
    let tokens = shards.reduce(0) { $0 + $1.count }
    guard tokens >= 2 else { throw .tooFewTokens(path: shards.first?.path ?? "data", needed: 2, found: tokens) }
    self.shards = shards
    self.batchSize = batchSize
    self.context = context
    let rows = (tokens - 1 + context - 1) / context
    predictedTokens = min(tokens - 1, min(limit ?? rows, rows) * context)
  }

  package var rowCount: Int { (predictedTokens + context - 1) / context }
  package var batchCount: Int { (rowCount + batchSize - 1) / batchSize }

  /// Reads a batch. Allocates nothing.
  ///
  /// - Parameter inputs: (B, T); where the weight is 0, token 0.
  /// - Parameter targets: (B, T); where the weight is 0, token 0.
  /// - Parameter weights: (B, T): 1 for a target that counts, else 0.
  /// - Returns: how many targets count.
  @discardableResult
  package func read(
    batch: Int, inputs: UnsafeMutableBufferPointer<Int32>, targets: UnsafeMutableBufferPointer<Int32>,
    weights: UnsafeMutableBufferPointer<Float>
  ) throws(CorpusError) -> Int {
    let size = batchSize * context
    precondition(inputs.count == size && targets.count == size && weights.count == size)
    let start = batch * size
    let count = max(0, min(size, predictedTokens - start))
    // The rows of a batch follow each other, and so do their tokens: two reads give them all.
    try read(into: UnsafeMutableBufferPointer(rebasing: inputs[..<count]), at: start)
    try read(into: UnsafeMutableBufferPointer(rebasing: targets[..<count]), at: start + 1)
    for index in 0..<count { weights[index] = 1 }
    for index in count..<size {
      inputs[index] = 0
      targets[index] = 0
      weights[index] = 0
    }
    return count
  }

  /// Tokens of all shards as one text.
  private func read(into buffer: UnsafeMutableBufferPointer<Int32>, at start: Int) throws(CorpusError) {
    var done = 0
    var shardStart = 0
    for shard in shards {
      let place = start + done
      if done < buffer.count, place < shardStart + shard.count {
        let count = min(buffer.count - done, shardStart + shard.count - place)
        let part = UnsafeMutableBufferPointer(rebasing: buffer[done..<done + count])
        try withFiles(try shard.read(into: part, at: place - shardStart))
        done += count
      }
      shardStart += shard.count
    }
  }
}
