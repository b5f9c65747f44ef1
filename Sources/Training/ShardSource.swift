package import Corpus
package import Models

/// Rows of shards, each token the target of the one before.
package final class ShardSource: BatchSource {
  private let groups: [ShardGroup]
  private let loading: BatchLoader.Settings
  private var loader: BatchLoader

  /// - Parameter endOfText: the token between documents, which rows of whole documents need.
  /// - Throws: ``CorpusError``, ``SettingsError``.
  package convenience init(
    _ data: Dataset, _ settings: Settings, endOfText: Int32? = nil, place: DataPlace = DataPlace()
  ) throws {
    var loading = BatchLoader.Settings(
      batchSize: settings.train.resolvedMicroBatch, context: settings.train.context)
    loading.order = settings.data.order
    loading.seed = settings.train.seed
    loading.prefetch = settings.data.prefetch
    loading.cacheBytes = settings.data.cache
    if settings.data.packing == .bestFit {
      guard let endOfText else {
        throw SettingsError.impossible(
          key: "data.packing", value: settings.data.packing.rawValue,
          expected: "none, as no tokenizer beside the data says where documents end")
      }
      loading.packing = .bestFit(endOfText: endOfText)
    }
    try self.init(try data.trainGroups(weights: settings.data.weights), loading, place: place)
  }

  package init(
    _ groups: [ShardGroup], _ loading: BatchLoader.Settings, place: DataPlace = DataPlace()
  ) throws(CorpusError) {
    (self.groups, self.loading) = (groups, loading)
    loader = try BatchLoader(groups, Self.settings(loading, at: place))
  }

  private static func settings(_ loading: BatchLoader.Settings, at place: DataPlace) -> BatchLoader.Settings {
    var settings = loading
    settings.seed = place.seed(loading.seed)
    settings.startRow = place.row
    return settings
  }

  package func move(to place: DataPlace) throws {
    loader = try BatchLoader(groups, Self.settings(loading, at: place))
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
    guard loading.packing != .none else { return }
    for index in batch.targets.indices {
      let counts = batch.targets[index] != BatchLoader.padding
      batch.weights[index] = counts ? 1 : 0
      if !counts { batch.targets[index] = 0 }
    }
  }
}
