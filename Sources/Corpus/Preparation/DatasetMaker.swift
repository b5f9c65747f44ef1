import Formats
import Tokenization

/// The second half of `prepare`: of the cleaned documents of a corpus, those that repeat others are left out; the rest is split,
/// encoded by a tokenizer that is learned from it or taken, and written as shards, with a report.
final class DatasetMaker {
  private let options: PrepareOptions
  private let taken: Tokenizer?
  private let notify: @Sendable (PrepareEvent) -> Void
  private var summary = DatasetSummary()
  private var rule: SplitRule

  init(_ options: PrepareOptions, tokenizer: Tokenizer?, notify: @escaping @Sendable (PrepareEvent) -> Void) {
    self.options = options
    taken = tokenizer
    self.notify = notify
    rule = SplitRule(fractions: options.fractions, seed: options.seed)
    summary.valFraction = options.fractions.val
    summary.testFraction = options.fractions.test
    summary.seed = options.seed
  }

  /// - Parameters:
  ///   - progress: what cleaning has counted, of each part.
  ///   - scratch: a folder for what doesn't fit in memory.
  ///   - folder: an empty folder for the result.
  func make(
    _ corpus: CleanedCorpus, _ listing: InputListing, _ progress: [CleaningProgress], scratch: String,
    into folder: String
  ) throws(CorpusError) -> DatasetSummary {
    summarize(listing, progress)
    if options.deduplication == .near { notify(.stage("looking for near duplicates")) }
    let finder = DuplicateFinder(corpus: corpus, folder: scratch, memory: options.memory / 4)
    var (corpus, verdicts) = (corpus, try finder.find(options.deduplication))
    if options.cleaning.steps.contains(.repeatedLines) {
      corpus = try withoutRepeatedLines(corpus, &verdicts, files: listing.fileCount, scratch: scratch)
    }
    let kept = KeptDocuments(corpus, verdicts)
    try count(corpus, verdicts, listing)
    warn()
    guard summary.documentsKept > 0 else { throw nothingLeft() }

    try chooseSplits(kept)
    let tokenizer: Tokenizer
    if let taken { tokenizer = taken } else { tokenizer = try learnTokenizer(kept) }
    let sample = try encode(kept, with: tokenizer, into: folder)
    var examples = DropExamples()
    for part in progress { examples.add(part.examples) }
    try write(tokenizer, sample, examples, into: folder)
    return summary
  }

  // MARK: Repeated lines

  private func withoutRepeatedLines(
    _ corpus: CleanedCorpus, _ verdicts: inout DuplicateFinder.Verdicts, files: Int, scratch: String
  ) throws(CorpusError) -> CleanedCorpus {
    notify(.stage("looking for lines that stand in many documents"))
    let kept = KeptDocuments(corpus, verdicts)
    let found = try RepeatedLines(kept: kept, folder: scratch, memory: options.memory / 4).find()
    let folder = Path.join(scratch, "lines")
    try withFiles(try FileSystem.createFolder(folder))
    var removal = try LineRemoval(corpus, verdicts, into: folder)
    let rest = found.lines == 0 ? corpus : try removal.run(found, files: files)
    for document in removal.emptied { verdicts.emptied.insert(document) }
    summary.add(found, removal)
    return rest
  }

  // MARK: What was read

  private func summarize(_ listing: InputListing, _ progress: [CleaningProgress]) {
    var all = Tally()
    for (index, input) in listing.inputs.enumerated() {
      var tally = Tally()
      for part in progress { tally.add(part.tallies[index]) }
      var statistics = DatasetSummary.SourceStatistics(name: input.name)
      statistics.files = tally["files"]
      statistics.skippedUnsupported = input.unsupported + tally["skipped.unsupported"]
      statistics.skippedBinary = tally["skipped.binary"]
      statistics.skippedPDF = tally["skipped.pdf"]
      statistics.documentsIn = tally["documents_in"]
      summary.sources.append(statistics)
      all.add(tally)
    }
    summary.documentsIn = all["documents_in"]
    for (name, count) in all.group("dropped") { summary.dropped[DropRule(rawValue: name) ?? .empty] = count }
    summary.repaired =
      DatasetSummary.usualRepairs.map { (name: $0, count: all["repaired." + $0]) }
      + all.group("repaired").filter { !DatasetSummary.usualRepairs.contains($0.name) }
    summary.converted = all.group("converted")
    summary.personalData = all.group("personal_data")
    summary.languages = all.group("languages")
  }

  private func count(_ corpus: CleanedCorpus, _ verdicts: DuplicateFinder.Verdicts, _ listing: InputListing)
    throws(CorpusError)
  {
    let next = corpus.batches { _, _ in false }
    var (exact, near) = (0, 0)
    var (unit, source) = (-1, 0)
    while let batch = try next() {
      for (index, record) in batch.records.enumerated() {
        if record.unit != unit { (unit, source) = (record.unit, listing.input(of: record.unit)) }
        if verdicts.exact[batch.start + index] {
          exact += 1
        } else if verdicts.near[batch.start + index] {
          near += 1
        } else if verdicts.isKept(batch.start + index) {
          summary.documentsKept += 1
          summary.sources[source].documentsKept += 1
          summary.sources[source].bytesKept += record.length
          rule.corpusBytes += record.length
          if SplitRule.isLarge(record.length) { summary.largeDocuments += 1 }
        }
      }
    }
    if exact > 0 { summary.dropped[.exactDuplicate] = exact }
    if near > 0 { summary.dropped[.nearDuplicate] = near }
  }

  private func nothingLeft() -> CorpusError {
    var dropped = DropRule.allCases.compactMap { rule in summary.dropped[rule].map { "\($0) \(rule.rawValue)" } }
    let binary = summary.sources.reduce(0) { $0 + $1.skippedBinary }
    if binary > 0 { dropped.append("\(counted(binary, "file")) with binary content") }
    return .nothingLeft(documents: summary.documentsIn, dropped: dropped)
  }

  private func warn() {
    for source in summary.sources {
      if source.skippedUnsupported > 0 {
        notify(
          .warning(
            "\(source.name): skipped \(counted(source.skippedUnsupported, "file")) that are not \(FileFormat.supported)"
          ))
      }
      if source.skippedBinary > 0 {
        notify(.warning("\(source.name): skipped \(counted(source.skippedBinary, "file")) with binary content"))
      }
      if source.skippedPDF > 0 {
        notify(
          .warning(
            "\(source.name): skipped \(counted(source.skippedPDF, "PDF file")): pdftotext isn't here; install it (Debian: apt-get "
              + "install poppler-utils)"))
      }
    }
    for (name, count) in summary.converted { notify(.warning("\(counted(count, "file")) converted from \(name)")) }
    if summary.invalidCharacters > 0 {
      notify(.warning("\(counted(summary.invalidCharacters, "byte")) of converted files replaced by U+FFFD"))
    }
    if summary.invalidUTF8Sequences > 0 {
      let sequences = counted(summary.invalidUTF8Sequences, "invalid UTF-8 sequence")
      let documents = counted(summary.invalidUTF8Documents, "document")
      notify(.warning("\(sequences) in \(documents) replaced by U+FFFD"))
    }
  }

  // MARK: Split

  /// Splits by hash, unless a split that is asked for would get nothing.
  private func chooseSplits(_ kept: KeptDocuments) throws(CorpusError) {
    let wanted = options.fractions.wanted
    var filled: Set<Split> = []
    let next = kept.batches { SplitRule.isLarge($0.length) }
    while filled.count < wanted.count, let batch = try next() {
      for document in batch.documents {
        if SplitRule.isLarge(document.length) {
          for part in rule.parts(of: batch.texts[document.range], hash: document.hash, start: document.start) {
            filled.insert(part.split)
          }
        } else {
          filled.insert(rule.split(of: document.hash))
        }
      }
    }
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

  // MARK: Tokenizer

  private func learnTokenizer(_ kept: KeptDocuments) throws(CorpusError) -> Tokenizer {
    guard case .learn(let asked, let pattern) = options.tokenizer else { preconditionFailure("a tokenizer is given") }
    let training = TrainingWords(
      kept: kept, rule: rule, pattern: pattern, workers: options.workers, memory: options.memory, notify: notify)
    let found = try training.count()
    let words = found.words
    let size = asked ?? vocabularySize(for: words, trainBytes: found.trainBytes)
    notify(.stage("learning a vocabulary of \(size) tokens from \(counted(words.count, "different word"))"))
    summary.tokenizerLearned = true
    let tokenizer: Tokenizer
    do {
      // A pair that occurs once is no pattern: a token for it would only be learned by heart.
      tokenizer = try BPELearner(vocabularySize: size, minimumFrequency: 2).learn(from: words)
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

  private struct EncodedBatch: Sendable {
    var ids: [Int32] = []
    var documents: [(split: Split, ids: Range<Int>, bytes: Int)] = []
    var sample: CorpusSample
  }

  private func encode(
    _ kept: KeptDocuments, with tokenizer: Tokenizer, into folder: String
  ) throws(CorpusError) -> CorpusSample {
    notify(.stage("encoding \(counted(summary.documentsKept, "document")), \(rule.corpusBytes) bytes"))
    let endOfText = tokenizer.endOfText.map { [$0] } ?? []
    let writer = SplitWriter(folder, vocabularySize: tokenizer.vocabularySize, shardTokens: options.shardTokens)
    for split in options.fractions.wanted { summary.splits[split] = .init() }
    let rule = rule
    let size = tokenizer.vocabularySize
    try OrderedWork.run(
      workers: options.workers, next: kept.batches(),
      worker: {
        let encoder = Encoder(tokenizer)
        return { (batch: KeptDocuments.Batch) throws(CorpusError) in
          var encoded = EncodedBatch(sample: CorpusSample(vocabularySize: size))
          for document in batch.documents {
            let text = batch.texts[document.range]
            try kept.check(text, of: document)
            for part in rule.parts(of: text, hash: document.hash, start: document.start) {
              let piece = text.dropFirst(part.range.lowerBound).prefix(part.range.count)
              let start = encoded.ids.count
              piece.withUnsafeBytes { encoder.encode($0, specialTokens: false, into: &encoded.ids) }
              encoded.ids += endOfText
              encoded.documents.append((part.split, start..<encoded.ids.count, piece.count))
              encoded.sample.add(piece, ids: encoded.ids[start...], split: part.split)
            }
          }
          return encoded
        }
      },
      take: { (batch: EncodedBatch) throws(CorpusError) in
        for document in batch.documents {
          try writer.append(batch.ids[document.ids], split: document.split, bytes: document.bytes)
        }
        writer.sample.add(batch.sample)
      })
    summary.shards = try writer.finish()
    for (split, statistics) in writer.statistics { summary.splits[split] = statistics }
    for split in options.fractions.wanted where summary.splits[split]?.tokens == 0 {
      notify(.warning("there is too little text for a \(split.rawValue) split: it is left out"))
    }
    return writer.sample
  }

  private func write(
    _ tokenizer: Tokenizer, _ sample: CorpusSample, _ examples: DropExamples, into folder: String
  ) throws(CorpusError) {
    let tokenizerBytes = tokenizer.json().serializedBytes(pretty: true)
    summary.vocabularySize = tokenizer.vocabularySize
    summary.tokenizerPattern = tokenizer.pattern.name
    summary.tokenizerSHA256 = ContentHash(tokenizerBytes).hex
    let report = DatasetReport(summary: summary, sample: sample, examples: examples, tokenizer: tokenizer).html
    let json = summary.json.serialized(pretty: true) + "\n"
    try withFiles(try FileSystem.write(tokenizerBytes, to: Path.join(folder, "tokenizer.json")))
    try withFiles(try FileSystem.write(report, to: Path.join(folder, "report.html")))
    try withFiles(try FileSystem.write(json, to: Path.join(folder, DatasetSummary.fileName)))
  }
}
