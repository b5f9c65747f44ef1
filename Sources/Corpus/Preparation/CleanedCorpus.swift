import Formats

/// The cleaned documents of all parts as one corpus: in the order of the files that they come from, whoever cleaned them.
struct CleanedCorpus {
  /// Documents of one store that follow each other in the corpus.
  struct Segment {
    let store: Int
    /// Documents of that store.
    let documents: Range<Int>
    /// Where their texts begin in it.
    let textStart: Int
    /// The number of the first in the corpus.
    let start: Int
  }

  let stores: [CleanedStore]
  private(set) var segments: [Segment] = []
  private(set) var documentCount = 0

  private static let recordsAtOnce = 1 << 14

  /// - Parameters:
  ///   - stores: of part 0, 1, … of so many parts.
  ///   - files: how many files all parts have together.
  /// - Throws: where a record can't be what was written.
  init(_ stores: [CleanedStore], files: Int) throws(CorpusError) {
    self.stores = stores
    // Of each store, the runs of documents that come from one file.
    var runs: [(unit: Int, store: Int, documents: Range<Int>, textStart: Int)] = []
    for (index, store) in stores.enumerated() {
      var (text, unit) = (0, 0)
      for start in stride(from: 0, to: store.size.documents, by: Self.recordsAtOnce) {
        let range = start..<min(start + Self.recordsAtOnce, store.size.documents)
        for (offset, record) in try store.records(range).enumerated() {
          let document = start + offset
          guard record.length >= 0, record.length <= store.size.bytes - text, record.unit >= unit, record.unit < files,
            record.unit % stores.count == index
          else { throw store.damaged(document, file: CleanedStore.recordsName) }
          unit = record.unit
          if let last = runs.last, last.store == index, last.unit == record.unit || stores.count == 1 {
            runs[runs.count - 1].documents = last.documents.lowerBound..<document + 1
          } else {
            runs.append((record.unit, index, document..<document + 1, text))
          }
          text += record.length
        }
      }
      guard text == store.size.bytes else {
        throw store.damaged(max(0, store.size.documents - 1), file: CleanedStore.recordsName)
      }
    }
    for run in runs.sorted(by: { $0.unit < $1.unit }) {
      segments.append(
        Segment(store: run.store, documents: run.documents, textStart: run.textStart, start: documentCount))
      documentCount += run.documents.count
    }
    // So many are told apart where near duplicates are looked for.
    guard documentCount <= Int(UInt32.max) else {
      throw .setting(
        name: "documents", value: "\(documentCount)", expected: "at most \(UInt32.max): make several data sets of them")
    }
  }

  /// The store of a document, and its number there.
  func place(of document: Int) -> (store: CleanedStore, document: Int) {
    let segment = segments[segments.partitionPoint { $0.start <= document } - 1]
    return (stores[segment.store], segment.documents.lowerBound + document - segment.start)
  }

  /// Documents that are worked on together: their records, the number of the first, and their texts in one.
  struct Batch: Sendable {
    let start: Int
    fileprivate(set) var records: [CleanedStore.Record] = []
    fileprivate(set) var texts: [UInt8] = []
    /// Where the text of each document stands; empty where it wasn't asked for.
    fileprivate(set) var ranges: [Range<Int>] = []
  }

  /// A function that hands out all documents batch by batch, with the texts that are asked for, by the document's number.
  func batches(
    texts isAskedFor: @escaping (Int, CleanedStore.Record) -> Bool = { _, _ in true }
  ) -> () throws(CorpusError) -> Batch? {
    let reader = BatchReader(self, isAskedFor)
    return { () throws(CorpusError) in try reader.next() }
  }

  private final class BatchReader {
    private let corpus: CleanedCorpus
    private let isAskedFor: (Int, CleanedStore.Record) -> Bool
    private var segment = 0
    private var offset = 0
    private var textOffset = 0
    /// Records that are read ahead, of the segment, from `offset` on.
    private var records: ArraySlice<CleanedStore.Record> = []

    private static let batchBytes = 1 << 20

    init(_ corpus: CleanedCorpus, _ isAskedFor: @escaping (Int, CleanedStore.Record) -> Bool) {
      self.corpus = corpus
      self.isAskedFor = isAskedFor
    }

    func next() throws(CorpusError) -> Batch? {
      guard segment < corpus.segments.count else { return nil }
      var batch = Batch(start: corpus.segments[segment].start + offset)
      // Of small files many go together: what is done for each batch costs more than a small text.
      while segment < corpus.segments.count, batch.records.count < CleanedCorpus.recordsAtOnce,
        batch.texts.count < Self.batchBytes
      {
        try take(into: &batch)
      }
      return batch
    }

    /// Documents of the segment that it is at, up to the one that fills the batch.
    private func take(into batch: inout Batch) throws(CorpusError) {
      let place = corpus.segments[segment]
      let store = corpus.stores[place.store]
      if records.isEmpty {
        let first = place.documents.lowerBound + offset
        records = try store.records(first..<min(first + CleanedCorpus.recordsAtOnce, place.documents.upperBound))[...]
      }
      // Texts that are asked for and stand side by side are read together.
      var run = 0..<0
      func read() throws(CorpusError) {
        guard !run.isEmpty else { return }
        let texts = try store.text(run)
        if batch.texts.isEmpty { batch.texts = texts } else { batch.texts += texts }
      }
      while batch.texts.count + run.count < Self.batchBytes, let record = records.popFirst() {
        let start = place.textStart + textOffset
        var range = 0..<0
        if isAskedFor(place.start + offset, record) {
          if run.upperBound != start {
            try read()
            run = start..<start
          }
          range = batch.texts.count + run.count..<batch.texts.count + run.count + record.length
          run = run.lowerBound..<start + record.length
        }
        batch.records.append(record)
        batch.ranges.append(range)
        offset += 1
        textOffset += record.length
      }
      try read()
      if offset == place.documents.count {
        segment += 1
        (offset, textOffset) = (0, 0)
      }
    }
  }
}
