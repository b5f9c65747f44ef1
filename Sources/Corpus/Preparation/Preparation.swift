import Formats
import Tokenization

/// Makes a data set from text: read → clean → dedupe → split → learn a tokenizer → encode → shards and a report.
///
/// The output folder is whole or not there. Memory holds the largest document a few times, 32 bytes for each document
/// kept, and the counts of the different words; the cleaned text waits in a nameless file beside the output.
package final class Preparation {
  private let options: PrepareOptions
  private let notify: (PrepareEvent) -> Void
  private var summary = DatasetSummary()
  private var rule: SplitRule

  package init(_ options: PrepareOptions, notify: @escaping (PrepareEvent) -> Void = { _ in }) {
    self.options = options
    self.notify = notify
    rule = SplitRule(fractions: options.fractions)
    summary.valFraction = options.fractions.val
    summary.testFraction = options.fractions.test
  }

  package func run() throws(CorpusError) -> DatasetSummary {
    // What is wrong with the options, the inputs or the output is found before any work.
    var sources: [Source] = []
    for input in options.inputs { sources.append(try Source(input: input)) }
    let taken = try takenTokenizer()
    let folder = try withFiles(try StagedFolder(path: options.output))

    let store = try DocumentStore(in: folder.workPath)
    try read(sources, into: store)
    try chooseSplits(store)
    let tokenizer: Tokenizer
    if let taken { tokenizer = taken } else { tokenizer = try learnTokenizer(store) }
    let sample = try encode(store, with: tokenizer, into: folder)
    try write(tokenizer, sample, into: folder)
    try withFiles(try folder.commit())
    return summary
  }

  // MARK: Read, clean, dedupe

  private func read(_ sources: [Source], into store: DocumentStore) throws(CorpusError) {
    let fileCount = sources.reduce(0) { $0 + $1.files.count }
    notify(.stage("reading \(counted(fileCount, "file"))"))
    let reader = DocumentReader()
    var seen: Set<ContentHash> = []
    for source in sources {
      var statistics = DatasetSummary.SourceStatistics(name: source.name)
      statistics.skippedUnsupported = source.unsupported
      for file in source.files {
        let isText = try reader.forEachDocument(of: file) { (document) throws(CorpusError) in
          try self.take(document, from: &statistics, seen: &seen, into: store)
        }
        if isText { statistics.files += 1 } else { statistics.skippedBinary += 1 }
      }
      summary.sources.append(statistics)
      warnAboutSkipped(statistics)
    }
    warnAboutRepairs()
    guard store.count > 0 else {
      var dropped = DatasetSummary.DropRule.allCases.compactMap { rule in
        summary.dropped[rule].map { "\($0) \(rule.rawValue)" }
      }
      let binary = summary.sources.reduce(0) { $0 + $1.skippedBinary }
      if binary > 0 { dropped.append("\(counted(binary, "file")) with binary content") }
      throw .nothingLeft(documents: summary.documentsIn, dropped: dropped)
    }
  }

  private func take(
    _ document: CleanText, from statistics: inout DatasetSummary.SourceStatistics, seen: inout Set<ContentHash>,
    into store: DocumentStore
  ) throws(CorpusError) {
    summary.documentsIn += 1
    statistics.documentsIn += 1
    if document.invalidSequences > 0 { summary.invalidUTF8Documents += 1 }
    summary.invalidUTF8Sequences += document.invalidSequences
    if document.changedLineEnds { summary.changedLineEnds += 1 }
    if document.hadByteOrderMark { summary.byteOrderMarks += 1 }

    if TextCleaner.isBlank(document.bytes) {
      summary.dropped[.empty, default: 0] += 1
      return
    }
    let hash = ContentHash(document.bytes)
    guard seen.insert(hash).inserted else {
      summary.dropped[.exactDuplicate, default: 0] += 1
      return
    }
    summary.documentsKept += 1
    statistics.documentsKept += 1
    statistics.bytesKept += document.bytes.count
    try store.append(document.bytes, split: rule.split(of: hash))
  }

  private func warnAboutSkipped(_ statistics: DatasetSummary.SourceStatistics) {
    if statistics.skippedUnsupported > 0 {
      let files = counted(statistics.skippedUnsupported, "file")
      notify(.warning("\(statistics.name): skipped \(files) that are not .txt, .md or .jsonl"))
    }
    if statistics.skippedBinary > 0 {
      notify(.warning("\(statistics.name): skipped \(counted(statistics.skippedBinary, "file")) with binary content"))
    }
  }

  private func warnAboutRepairs() {
    if summary.invalidUTF8Sequences > 0 {
      let sequences = counted(summary.invalidUTF8Sequences, "invalid UTF-8 sequence")
      let documents = counted(summary.invalidUTF8Documents, "document")
      notify(.warning("\(sequences) in \(documents) replaced by U+FFFD"))
    }
  }

  // MARK: Split

  /// Splits by hash, unless a split that is asked for would get nothing.
  private func chooseSplits(_ store: DocumentStore) throws(CorpusError) {
    rule.corpusBytes = store.byteCount
    var filled: Set<Split> = []
    try store.forEach { (document) throws(CorpusError) in
      if SplitRule.isLarge(document.bytes) { self.summary.largeDocuments += 1 }
      for part in self.rule.parts(of: document) { filled.insert(part.split) }
    }
    let wanted = options.fractions.wanted
    if let empty = wanted.first(where: { !filled.contains($0) }) {
      rule.method = .contiguous
      summary.largeDocuments = 0
      notify(
        .warning(
          "by the documents' hashes, the \(empty.rawValue) split would be empty: the corpus is split by blocks "
            + "instead (\(wanted.map(\.rawValue).joined(separator: ", then ")))"))
    } else if summary.largeDocuments > 0 {
      let documents = counted(summary.largeDocuments, "document")
      notify(.warning("\(documents) over 1 MiB split by blocks, not as a whole"))
    }
    summary.splitMethod = rule.method.rawValue
  }

  private func forEachPart(
    of store: DocumentStore, _ body: (Split, ArraySlice<UInt8>) throws(CorpusError) -> Void
  ) throws(CorpusError) {
    try store.forEach { (document) throws(CorpusError) in
      for part in self.rule.parts(of: document) { try body(part.split, document.bytes[part.range]) }
    }
  }

  // MARK: Tokenizer

  private func takenTokenizer() throws(CorpusError) -> Tokenizer? {
    switch options.tokenizer {
    case .take(let path):
      let tokenizer: Tokenizer
      do {
        tokenizer = try Tokenizer.load(path: path)
      } catch {
        throw .tokenizer(path: path, error)
      }
      guard tokenizer.endOfText != nil else { throw .noEndOfText(path: path) }
      return tokenizer
    case .learn(let size?, _) where !(257...1 << 20).contains(size):
      throw .setting(
        name: "--vocab-size", value: "\(size)",
        expected: "from 257 (the bytes and <|endoftext|>) to 1,048,576")
    case .learn:
      return nil
    }
  }

  private func learnTokenizer(_ store: DocumentStore) throws(CorpusError) -> Tokenizer {
    guard case .learn(let asked, let pattern) = options.tokenizer else { preconditionFailure("a tokenizer is given") }
    var counts = WordCounts(pattern: pattern)
    var trainBytes = 0
    try forEachPart(of: store) { (split, text) throws(CorpusError) in
      guard split == .train else { return }
      text.withUnsafeBytes { counts.add($0) }
      trainBytes += text.count
    }
    let size = asked ?? vocabularySize(for: counts, trainBytes: trainBytes)
    notify(.stage("learning a vocabulary of \(size) tokens from \(counted(counts.count, "different word"))"))
    summary.tokenizerLearned = true
    let tokenizer: Tokenizer
    do {
      // A pair that occurs once is no pattern: a token for it would only be learned by heart.
      tokenizer = try BPELearner(vocabularySize: size, minimumFrequency: 2).learn(from: counts)
    } catch {
      throw .tokenizer(path: options.output, error)
    }
    if tokenizer.vocabularySize < size {
      notify(.warning("the text has repeated pairs for \(tokenizer.vocabularySize) tokens only, not \(size)"))
    }
    return tokenizer
  }

  /// What suits the amount of text, and the model that it is for.
  private func vocabularySize(for counts: WordCounts, trainBytes: Int) -> Int {
    let size = PrepareOptions.defaultVocabularySize(trainBytes: trainBytes)
    guard let most = options.mostTokens else { return size }
    // Chinese has thousands of characters, each of three bytes, where English has dozens of one.
    return min(size, Int(Double(most) * (1 + 1.5 * (counts.bytesPerCharacter - 1))))
  }

  // MARK: Encode, write

  private func encode(
    _ store: DocumentStore, with tokenizer: Tokenizer, into folder: StagedFolder
  ) throws(CorpusError) -> CorpusSample {
    notify(.stage("encoding \(counted(store.count, "document")), \(store.byteCount) bytes"))
    let endOfText = tokenizer.endOfText.map { [$0] } ?? []
    let encoder = Encoder(tokenizer)
    var sample = CorpusSample(vocabularySize: tokenizer.vocabularySize)
    var writers: [Split: ShardedWriter] = [:]
    for split in Split.allCases {
      writers[split] = ShardedWriter(
        split: split, folder: folder.workPath, vocabularySize: tokenizer.vocabularySize,
        shardTokens: options.shardTokens)
    }
    for split in options.fractions.wanted { summary.splits[split] = .init() }
    try forEachPart(of: store) { (split, text) throws(CorpusError) in
      var ids: [Int32] = []
      text.withUnsafeBytes { encoder.encode($0, specialTokens: false, into: &ids) }
      ids += endOfText
      sample.add(text, ids: ids, split: split)
      self.summary.splits[split, default: .init()].documents += 1
      self.summary.splits[split, default: .init()].bytes += text.count
      self.summary.splits[split, default: .init()].tokens += ids.count
      try withFiles(try writers[split]?.append(ids))
    }
    for split in Split.allCases {
      try withFiles(try writers[split]?.finish())
      summary.shards += writers[split]?.shards ?? []
    }
    for split in options.fractions.wanted where summary.splits[split]?.tokens == 0 {
      notify(.warning("there is too little text for a \(split.rawValue) split: it is left out"))
    }
    return sample
  }

  private func write(
    _ tokenizer: Tokenizer, _ sample: CorpusSample, into folder: StagedFolder
  ) throws(CorpusError) {
    let tokenizerBytes = tokenizer.json().serializedBytes(pretty: true)
    summary.vocabularySize = tokenizer.vocabularySize
    summary.tokenizerPattern = tokenizer.pattern.name
    summary.tokenizerSHA256 = ContentHash(tokenizerBytes).hex
    let report = DatasetReport(summary: summary, sample: sample, tokenizer: tokenizer).html
    let json = summary.json.serialized(pretty: true) + "\n"
    try withFiles(try FileSystem.write(tokenizerBytes, to: folder.file("tokenizer.json")))
    try withFiles(try FileSystem.write(report, to: folder.file("report.html")))
    try withFiles(try FileSystem.write(json, to: folder.file(DatasetSummary.fileName)))
  }
}

func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

extension SplitPattern {
  /// The name that `--pattern` knows it by.
  package var name: String {
    switch self {
    case .gpt2: "gpt2"
    case .cl100k(digits: 3): "cl100k"
    case .cl100k(let digits): "cl100k, numbers in runs of \(digits)"
    case .none: "none"
    }
  }
}
