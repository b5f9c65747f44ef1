package import Corpus
package import Formats
package import Models

/// Rows of shards, each token the target of the one before.
package final class ShardSource: BatchSource {
  private let shards: [TokenShard]
  private let loading: BatchLoader.Settings
  private var loader: BatchLoader

  /// - Throws: ``CorpusError``.
  package convenience init(
    _ data: Dataset, _ settings: Settings, place: DataPlace = DataPlace()
  ) throws(CorpusError) {
    var loading = BatchLoader.Settings(
      batchSize: settings.train.resolvedMicroBatch, context: settings.train.context)
    loading.order = settings.data.order
    loading.seed = settings.train.seed
    loading.prefetch = settings.data.prefetch
    loading.cacheBytes = settings.data.cache
    try self.init(try data.shards(of: .train), loading, place: place)
  }

  package init(
    _ shards: [TokenShard], _ loading: BatchLoader.Settings, place: DataPlace = DataPlace()
  ) throws(CorpusError) {
    (self.shards, self.loading) = (shards, loading)
    loader = try BatchLoader(shards, Self.settings(loading, at: place))
  }

  private static func settings(_ loading: BatchLoader.Settings, at place: DataPlace) -> BatchLoader.Settings {
    var settings = loading
    settings.seed = place.seed(loading.seed)
    settings.startRow = place.row
    return settings
  }

  package func move(to place: DataPlace) throws {
    loader = try BatchLoader(shards, Self.settings(loading, at: place))
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
