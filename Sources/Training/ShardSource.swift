package import Corpus
package import Models

/// Rows of shards, each token the target of the one before.
package final class ShardSource: BatchSource {
  private let loader: BatchLoader

  /// - Throws: ``CorpusError``.
  package init(_ data: Dataset, _ settings: Settings, startRow: Int = 0) throws(CorpusError) {
    var loading = BatchLoader.Settings(
      batchSize: settings.train.resolvedMicroBatch, context: settings.train.context)
    loading.order = settings.data.order
    loading.seed = settings.train.seed
    loading.startRow = startRow
    loading.prefetch = settings.data.prefetch
    loading.cacheBytes = settings.data.cache
    loader = try BatchLoader(data.shards(of: .train), loading)
  }

  package init(_ loader: BatchLoader) {
    self.loader = loader
  }

  package var mask: MaskKind { .causal }
  package var dataWaitSeconds: Double { loader.dataWaitSeconds }

  package func next(_ batch: TokenBatch) throws {
    let count = loader.batchSize * loader.context
    for start in stride(from: 0, to: batch.ids.count, by: count) {
      let part = start..<start + count
      try loader.next(
        inputs: UnsafeMutableBufferPointer(rebasing: batch.ids[part]),
        targets: UnsafeMutableBufferPointer(rebasing: batch.targets[part]))
    }
  }
}
