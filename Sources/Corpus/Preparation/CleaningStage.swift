import Formats

/// The first half of `prepare`: reads all files, or those of one part, cleans their documents on several threads, and leaves
/// them in a store, in order.
///
/// Every few seconds' work is made durable, so that a process that was killed is gone on with.
struct CleaningStage {
  let sources: [Source]
  let options: PrepareOptions
  /// Where store and progress stand.
  let folder: String

  /// Text after which progress is written.
  private static let bytesPerSnapshot = 64 << 20
  private static let batchBytes = 1 << 20
  private static let batchDocuments = 1 << 12

  /// A file of the inputs, by its number among all.
  private struct Unit {
    let source: Int
    let file: SourceFile
  }

  /// Raw documents of one file, or of the end of it.
  private struct RawBatch: Sendable {
    var unit: Int
    var source: Int
    var path: String
    var documents: [RawDocument] = []
    /// How many of the file's documents are done with this batch.
    var rawDocuments = 0
    var isLast = false
    /// What reading the file has met.
    var tally = Tally()
  }

  private struct CleanBatch: Sendable {
    var raw: (unit: Int, source: Int, rawDocuments: Int, isLast: Bool)
    var documents = CleanedStore.Batch()
    var tally: Tally
    var examples = DropExamples()
  }

  /// - Parameter progress: where to go on; it says at last what there is.
  func run(_ store: CleanedStore, _ progress: inout CleaningProgress) throws(CorpusError) {
    let options = options
    let units = sources.enumerated().flatMap { index, source in source.files.map { Unit(source: index, file: $0) } }
    let mine = units.indices.filter { $0 % options.part.count == options.part.index }
    let reader = UnitReader(units, mine, options.reading, from: progress)
    let contamination = Contamination(options.cleaning.evaluationTexts)
    let stopWordLanguages = options.cleaning.stopWordLanguages
    let stopWords = stopWordLanguages.isEmpty ? nil : try StopWords(languages: stopWordLanguages)
    let box = ProgressBox(progress, store, folder)
    let signs = store.hasSignatures
    try OrderedWork.run(
      workers: options.workers,
      next: { () throws(CorpusError) in try reader.next() },
      worker: {
        var cleaner = DocumentCleaner(
          options.cleaning, contamination: contamination, stopWords: stopWords, textField: options.reading.textField,
          signs: signs)
        return { (batch: RawBatch) throws(CorpusError) in try Self.clean(batch, &cleaner, signs: signs) }
      },
      take: { (batch: CleanBatch) throws(CorpusError) in try box.take(batch) })
    progress = try box.finish()
  }

  private static func clean(
    _ raw: RawBatch, _ cleaner: inout DocumentCleaner, signs: Bool
  ) throws(CorpusError) -> CleanBatch {
    var batch = CleanBatch(raw: (raw.unit, raw.source, raw.rawDocuments, raw.isLast), tally: Tally())
    for document in raw.documents {
      switch try cleaner.clean(document, path: raw.path) {
      case .kept(let text, let signature):
        batch.documents.append(text, signature: signature, hasSignatures: signs, unit: raw.unit)
      case .dropped(let rule, let text): batch.examples.add(rule, text)
      case .nothing: break
      }
    }
    batch.tally = cleaner.takeTally()
    batch.tally.add(raw.tally)
    return batch
  }

  /// Hands out the documents of the files, batch by batch.
  ///
  /// Unchecked, because only the thread whose turn it is to fetch comes here.
  private final class UnitReader: @unchecked Sendable {
    private let units: [Unit]
    private var rest: ArraySlice<Int>
    private let opener: FileOpener
    private var current: (any DocumentSource)?
    private var rawDocuments = 0
    /// Documents that an earlier process has done already.
    private var skipped: Int

    init(_ units: [Unit], _ mine: [Int], _ options: ReadingOptions, from progress: CleaningProgress) {
      self.units = units
      rest = mine.drop { $0 < progress.unit }
      opener = FileOpener(options)
      skipped = progress.rawDocuments
    }

    func next() throws(CorpusError) -> RawBatch? {
      guard let unit = rest.first else { return nil }
      let (source, file) = (units[unit].source, units[unit].file)
      if current == nil, rawDocuments == 0 { current = try opener.open(file) }
      var batch = RawBatch(unit: unit, source: source, path: file.path)
      var bytes = 0
      while bytes < CleaningStage.batchBytes, batch.documents.count < CleaningStage.batchDocuments {
        guard let document = try current?.next() else {
          batch.isLast = true
          break
        }
        rawDocuments += 1
        if rawDocuments <= skipped { continue }
        bytes += document.bytes.count
        batch.documents.append(document)
      }
      batch.rawDocuments = rawDocuments
      if batch.isLast {
        batch.tally = opener.takeTally()
        rest = rest.dropFirst()
        current = nil
        rawDocuments = 0
        skipped = 0
      }
      return batch
    }
  }

  /// Where results go.
  ///
  /// Unchecked, because only the thread whose turn it is to deliver comes here.
  private final class ProgressBox: @unchecked Sendable {
    private var progress: CleaningProgress
    private let store: CleanedStore
    private let folder: String
    private var written = 0

    init(_ progress: CleaningProgress, _ store: CleanedStore, _ folder: String) {
      self.progress = progress
      self.store = store
      self.folder = folder
    }

    func take(_ batch: CleanBatch) throws(CorpusError) {
      try store.append(batch.documents)
      progress.tallies[batch.raw.source].add(batch.tally)
      progress.examples.add(batch.examples)
      progress.unit = batch.raw.isLast ? batch.raw.unit + 1 : batch.raw.unit
      progress.rawDocuments = batch.raw.isLast ? 0 : batch.raw.rawDocuments
      progress.size = store.size
      if store.size.bytes - written >= CleaningStage.bytesPerSnapshot {
        try snapshot()
        written = store.size.bytes
      }
    }

    func finish() throws(CorpusError) -> CleaningProgress {
      progress.isComplete = true
      progress.size = store.size
      try snapshot()
      return progress
    }

    private func snapshot() throws(CorpusError) {
      try store.synchronize()
      try progress.write(to: folder)
    }
  }
}
