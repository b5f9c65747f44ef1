import Formats

/// Writes a corpus once more, without the lines and paragraphs that ``RepeatedLines`` has found in it.
///
/// Documents keep their numbers and the hashes that they had, so that which split they are in doesn't hang on the
/// others. Dropped ones have no text any more.
struct LineRemoval {
  private(set) var linesRemoved = 0
  private(set) var documentsChanged = 0
  /// Documents that had no other lines.
  private(set) var emptied: [Int] = []
  /// Texts of the lines that stand in the most documents, the most frequent first.
  private(set) var examples: [(documents: Int, text: String)] = []

  private let corpus: CleanedCorpus
  private let verdicts: DuplicateFinder.Verdicts
  private let next: () throws(CorpusError) -> CleanedCorpus.Batch?
  private let store: CleanedStore
  private var wanted: Set<UInt64> = []
  private var exampleTexts: [UInt64: String] = [:]

  /// What is read: a batch, and the next of its documents.
  private var batch: CleanedCorpus.Batch?
  private var index = 0
  private var written = CleanedStore.Batch()
  private var lines = DocumentLines()

  private static let batchBytes = 1 << 20
  private static let batchDocuments = 1 << 12
  private static let excerptBytes = 300

  /// - Parameter folder: an empty folder for the texts.
  init(_ corpus: CleanedCorpus, _ verdicts: DuplicateFinder.Verdicts, into folder: String) throws(CorpusError) {
    self.corpus = corpus
    self.verdicts = verdicts
    next = corpus.batches { document, _ in verdicts.isKept(document) }
    store = try CleanedStore(in: folder, signatures: false)
  }

  /// - Parameter files: how many files the corpus comes from.
  mutating func run(_ found: RepeatedLines.Found, files: Int) throws(CorpusError) -> CleanedCorpus {
    wanted = Set(found.examples.map(\.key))
    var places = found.places
    var document: Int?
    var keys: Set<UInt64> = []
    try places.forEach { (pair) throws(CorpusError) in
      let place = Int(pair.key)
      if place != document {
        if let document { try copy(upTo: document, without: keys) }
        document = place
        keys.removeAll(keepingCapacity: true)
      }
      keys.insert(pair.document)
    }
    if let document { try copy(upTo: document, without: keys) }
    if corpus.documentCount > 0 { try copy(upTo: corpus.documentCount - 1, without: []) }
    try store.append(written)
    examples = found.examples.compactMap { example in exampleTexts[example.key].map { (example.documents, $0) } }
    return try CleanedCorpus([store], files: files)
  }

  /// Writes all documents up to one, and that one without some of its lines.
  private mutating func copy(upTo document: Int, without keys: Set<UInt64>) throws(CorpusError) {
    while true {
      if batch == nil || index == batch?.records.count {
        batch = try next()
        index = 0
      }
      guard let batch, batch.start + index <= document else { return }
      let record = batch.records[index]
      let text = batch.texts[batch.ranges[index]]
      let number = batch.start + index
      index += 1
      if !verdicts.isKept(number) {
        try write([], record)
      } else if number == document, !keys.isEmpty {
        try write(stripped(Array(text), keys, number), record)
      } else {
        try write(Array(text), record)
      }
    }
  }

  private mutating func stripped(_ text: [UInt8], _ keys: Set<UInt64>, _ document: Int) -> [UInt8] {
    let rest = text.withUnsafeBytes { bytes in
      lines.find(in: bytes)
      var dropped: Set<Int> = []
      RepeatedLines.forEachPassage(of: lines, in: bytes) { key, some in
        guard keys.contains(key) else { return }
        if wanted.contains(key), exampleTexts[key] == nil {
          exampleTexts[key] = UnsafeRawBufferPointer(rebasing: bytes[lines.bytes(of: some)])
            .excerpt(bytes: Self.excerptBytes)
        }
        dropped.formUnion(some)
      }
      linesRemoved += dropped.count
      return lines.without(dropped.sorted(), of: bytes)
    }
    documentsChanged += 1
    guard TextCleaner.isBlank(rest) else { return rest }
    emptied.append(document)
    return []
  }

  private mutating func write(_ text: [UInt8], _ record: CleanedStore.Record) throws(CorpusError) {
    written.append(text, signature: nil, hasSignatures: false, unit: record.unit, hash: record.hash)
    guard written.texts.count >= Self.batchBytes || written.documents >= Self.batchDocuments else { return }
    try store.append(written)
    written = CleanedStore.Batch()
  }
}
