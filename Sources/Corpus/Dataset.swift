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

/// Tokens that are ready to be trained on: the shards of each split, and the tokenizer if there is one.
package struct Dataset: Sendable {
  /// The folder or the shard, as given.
  package let path: String
  /// Nil where the shards are ids only.
  package let tokenizer: Tokenizer?
  /// The content of dataset.json, in a folder that `prepare` made.
  package let summary: JSON?
  private let shards: [Split: [TokenShard]]

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
    tokenizer = try Self.tokenizer(in: folder, isRequired: kind == .prepared)
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
  package func textBytes(of split: Split) -> Int? { summary?["bytes"]?[split.rawValue]?.int }

  /// Bytes of text that a token of the training split stands for; known only for data that `prepare` made.
  package var bytesPerToken: Double? {
    let tokens = tokenCount(of: .train)
    return tokens > 0 ? textBytes(of: .train).map { Double($0) / Double(tokens) } : nil
  }

  /// The size of the tokenizer's vocabulary; nil for ids only.
  package var vocabularySize: Int? { tokenizer?.vocabularySize }

  /// What tells this data from other: the hash of dataset.json, which has those of all shards, or of the shards themselves.
  package func contentHash() throws(FormatError) -> ContentHash {
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
