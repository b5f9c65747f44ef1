package import Formats
package import Tokenization

/// What stands at a path that is given as DATA.
package enum DataKind: Sendable {
  /// A folder that `prepare` made.
  case prepared
  /// One token shard.
  case shard
  /// A folder with train*.bin, made elsewhere.
  case shards
  /// Text, still to be prepared.
  case text

  /// - Throws: ``FormatError/missing(path:)`` where nothing stands.
  package static func detect(_ path: String) throws(CorpusError) -> DataKind {
    if RemoteFile.isRemote(path) { return .text }
    switch FileSystem.kind(of: path) {
    case nil:
      throw .file(.missing(path: path))
    case .folder:
      if FileSystem.isFile(Path.join(path, DatasetSummary.fileName)) { return .prepared }
      let names = try withFiles(try FileSystem.names(in: path))
      return names.contains { Dataset.isShard($0, of: .train) } ? .shards : .text
    case .file, .other:
      return Path.fileExtension(path) == "bin" ? .shard : .text
    }
  }
}

/// Shards that a run draws its rows from.
package struct ShardGroup: Sendable {
  package let shards: [TokenShard]
  /// Rows of this group beside those of the others; what counts is the ratio.
  package let weight: Double

  package init(shards: [TokenShard], weight: Double = 1) {
    (self.shards, self.weight) = (shards, weight)
  }
}

/// Tokens that are ready to be trained on: the shards of each split, and the tokenizer if there is one.
package struct Dataset: Sendable {
  /// The folder or the shard, as given; of several, all.
  package let path: String
  /// Nil where the shards are ids only.
  package let tokenizer: Tokenizer?
  /// The content of dataset.json, in a folder that `prepare` made.
  package let summary: JSON?
  private let shards: [Split: [TokenShard]]
  /// The data sets that this one is made of; none of one that stands alone.
  private let parts: [Dataset]

  /// Opens prepared data, a lone .bin shard (which has a train split only), or a folder with train*.bin.
  ///
  /// Headers and sizes are checked; the ids are by ``validate(vocabularySize:)``.
  package init(path: String) throws(CorpusError) {
    self.path = path
    let kind = try DataKind.detect(path)
    let folder: String
    var shards: [Split: [TokenShard]] = [:]
    var summary: JSON?
    switch kind {
    case .text:
      throw .notPrepared(path: path)
    case .shard:
      folder = Path.parent(path)
      shards[.train] = [try withFiles(try TokenShard(path: path))]
    case .shards, .prepared:
      folder = path
      let names = try withFiles(try FileSystem.names(in: path))
      for split in Split.allCases {
        for name in names where Self.isShard(name, of: split) {
          shards[split, default: []].append(try withFiles(try TokenShard(path: Path.join(path, name))))
        }
      }
      if kind == .prepared {
        summary = try withFiles(try FileSystem.readJSON(Path.join(path, DatasetSummary.fileName)))
      }
    }
    if let summary { try Self.check(shards, against: summary, in: path) }
    self.shards = shards
    self.summary = summary
    parts = []
    tokenizer = try Self.tokenizer(in: folder, isRequired: kind == .prepared)
  }

  /// Several data sets as one; its validation and test splits are theirs, one after the other.
  ///
  /// - Throws: ``CorpusError/tokenizersDiffer(path:other:)``.
  package init(mixing parts: [Dataset]) throws(CorpusError) {
    precondition(!parts.isEmpty)
    for part in parts.dropFirst() {
      let agrees =
        switch (parts[0].tokenizer, part.tokenizer) {
        case (let first?, let other?): first.agrees(with: other)
        case (nil, nil): true
        default: false
        }
      guard agrees else { throw .tokenizersDiffer(path: part.path, other: parts[0].path) }
    }
    self.parts = parts
    path = parts.map(\.path).joined(separator: ", ")
    tokenizer = parts[0].tokenizer
    summary = nil
    shards = parts.reduce(into: [:]) { $0.merge($1.shards) { $0 + $1 } }
  }

  /// What a run draws its rows from.
  ///
  /// - Parameter weights: of the data sets that this one is made of; nil: as many rows of each as it has tokens.
  /// - Throws: ``CorpusError/setting(name:value:expected:)`` for another number of them.
  package func trainGroups(weights: [Double]?) throws(CorpusError) -> [ShardGroup] {
    let sets = parts.isEmpty ? [self] : parts
    let weights = weights ?? sets.map { Double($0.tokenCount(of: .train)) }
    guard weights.count == sets.count else {
      throw .setting(
        name: "data.weights", value: "\(weights)", expected: "\(counted(sets.count, "number")), one for each --data")
    }
    var groups: [ShardGroup] = []
    for (set, weight) in zip(sets, weights) {
      groups.append(ShardGroup(shards: try set.shards(of: .train), weight: weight))
    }
    return groups
  }

  /// The splits that have at least one shard.
  package var splits: [Split] { Split.allCases.filter { shards[$0] != nil } }

  /// The shards of a split.
  ///
  /// - Throws: ``CorpusError/noSplit(path:split:present:)``.
  package func shards(of split: Split) throws(CorpusError) -> [TokenShard] {
    guard let shards = shards[split] else { throw .noSplit(path: path, split: split, present: splits) }
    return shards
  }

  /// How many tokens a split has; 0 where there is no such split.
  package func tokenCount(of split: Split) -> Int { (shards[split] ?? []).reduce(0) { $0 + $1.count } }

  /// How many bytes of text a split's tokens stand for; known only for data that `prepare` made.
  package func textBytes(of split: Split) -> Int? {
    guard !parts.isEmpty else { return summary?["bytes"]?[split.rawValue]?.int }
    var bytes = 0
    for part in parts where part.splits.contains(split) {
      guard let more = part.textBytes(of: split) else { return nil }
      bytes += more
    }
    return bytes
  }

  /// Bytes of text that a token of the training split stands for; known only for data that `prepare` made.
  package var bytesPerToken: Double? {
    let tokens = tokenCount(of: .train)
    return tokens > 0 ? textBytes(of: .train).map { Double($0) / Double(tokens) } : nil
  }

  /// The size of the tokenizer's vocabulary; nil for ids only.
  package var vocabularySize: Int? { tokenizer?.vocabularySize }

  /// What tells this data from other: the hash of dataset.json, which has those of all shards, or of the shards themselves.
  package func contentHash() throws(FormatError) -> ContentHash {
    if !parts.isEmpty {
      var hashes: [ContentHash] = []
      for part in parts { hashes.append(try part.contentHash()) }
      return ContentHash(of: hashes)
    }
    if summary != nil { return try ContentHash(file: Path.join(path, DatasetSummary.fileName)) }
    return try ContentHash(files: Split.allCases.flatMap { shards[$0] ?? [] }.map(\.path))
  }

  /// Reads every shard and makes sure that a model of this vocabulary has a row for every id.
  ///
  /// - Throws: ``TokenShardProblem/idBeyondVocabulary(position:id:vocabularySize:)``, naming shard, position and id.
  package func validate(vocabularySize: Int, splits: [Split] = Split.allCases) throws(CorpusError) {
    for split in splits {
      for shard in shards[split] ?? [] {
        if let bad = try withFiles(try shard.firstInvalid(vocabularySize: vocabularySize)) {
          let problem = TokenShardProblem.idBeyondVocabulary(
            position: bad.position, id: bad.id, vocabularySize: vocabularySize)
          throw .file(.shard(path: shard.path, problem))
        }
      }
    }
  }

  /// Whether a file's name says that it is a shard of a split: train.bin, train-00000.bin, train_03.bin, …
  static func isShard(_ name: String, of split: Split) -> Bool {
    name.hasPrefix(split.rawValue) && name.hasSuffix(".bin")
  }

  private static func tokenizer(in folder: String, isRequired: Bool) throws(CorpusError) -> Tokenizer? {
    let path = Path.join(folder, "tokenizer.json")
    guard FileSystem.exists(path) || isRequired else { return nil }
    do {
      return try Tokenizer.load(path: path)
    } catch {
      throw .tokenizer(path: path, error)
    }
  }

  /// The shards that dataset.json lists must all be there, with the tokens that it says.
  private static func check(
    _ shards: [Split: [TokenShard]], against summary: JSON, in folder: String
  ) throws(CorpusError) {
    var counts: [String: Int] = [:]
    for shard in shards.values.joined() { counts[Path.name(shard.path)] = shard.count }
    for entry in summary["shards"]?.array ?? [] {
      guard let name = entry["file"]?.string, let tokens = entry["tokens"]?.int else { continue }
      guard let found = counts[name] else { throw .file(.missing(path: Path.join(folder, name))) }
      guard found == tokens else {
        let problem = "expected \(tokens) tokens, as \(DatasetSummary.fileName) says, found \(found)"
        throw .file(.content(path: Path.join(folder, name), problem: problem + "; prepare the data again"))
      }
    }
  }
}
