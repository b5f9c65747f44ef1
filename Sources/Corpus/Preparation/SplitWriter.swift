import Formats

/// Writes encoded documents into the shards of their splits, and counts them.
final class SplitWriter {
  private var writers: [Split: ShardedWriter] = [:]
  private(set) var statistics: [Split: DatasetSummary.SplitStatistics] = [:]
  var sample: CorpusSample

  init(_ folder: String, vocabularySize: Int, shardTokens: Int) {
    sample = CorpusSample(vocabularySize: vocabularySize)
    for split in Split.allCases {
      writers[split] = ShardedWriter(
        split: split, folder: folder, vocabularySize: vocabularySize, shardTokens: shardTokens)
    }
  }

  /// - Parameter bytes: of the text that the tokens stand for.
  func append(_ ids: ArraySlice<Int32>, split: Split, bytes: Int) throws(CorpusError) {
    statistics[split, default: .init()].documents += 1
    statistics[split, default: .init()].bytes += bytes
    statistics[split, default: .init()].tokens += ids.count
    try withFiles(try writers[split]?.append(Array(ids)))
  }

  /// Completes all shards.
  func finish() throws(CorpusError) -> [DatasetSummary.Shard] {
    var shards: [DatasetSummary.Shard] = []
    for split in Split.allCases {
      try withFiles(try writers[split]?.finish())
      shards += writers[split]?.shards ?? []
    }
    return shards
  }
}
