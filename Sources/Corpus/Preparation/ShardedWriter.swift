import Formats

/// Writes the tokens of one split into numbered shards: train-00000.bin, train-00001.bin, …
struct ShardedWriter {
  private let split: Split
  private let folder: String
  private let vocabularySize: Int
  private let shardTokens: Int
  private var current: TokenShardWriter?
  private(set) var shards: [DatasetSummary.Shard] = []

  init(split: Split, folder: String, vocabularySize: Int, shardTokens: Int) {
    self.split = split
    self.folder = folder
    self.vocabularySize = vocabularySize
    self.shardTokens = shardTokens
  }

  /// Adds a document's tokens; documents never cross shards.
  mutating func append(_ ids: [Int32]) throws(FormatError) {
    let writer: TokenShardWriter
    if let current {
      writer = current
    } else {
      writer = try TokenShardWriter(path: Path.join(folder, nextName), vocabularySize: vocabularySize)
      current = writer
    }
    try writer.append(ids)
    if writer.count >= shardTokens { try finish() }
  }

  /// Completes the shard that is being written.
  mutating func finish() throws(FormatError) {
    guard let writer = current else { return }
    try writer.commit()
    let hash = try ContentHash(file: writer.path)
    shards.append(.init(name: nextName, split: split, tokens: writer.count, sha256: hash.hex))
    current = nil
  }

  private var nextName: String {
    let number = String(shards.count)
    return "\(split.rawValue)-\(String(repeating: "0", count: max(0, 5 - number.count)))\(number).bin"
  }
}
