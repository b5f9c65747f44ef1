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
    var (low, high) = (0, segments.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if segments[middle].start <= document { low = middle } else { high = middle }
    }
    let segment = segments[low]
    return (stores[segment.store], segment.documents.lowerBound + document - segment.start)
  }

  /// Documents that are worked on together: their records, the number of the first, and all of their texts in one.
  struct Batch: Sendable {
    let start: Int
    let records: [CleanedStore.Record]
    let texts: [UInt8]
  }

  /// A function that hands out all documents, with or without their texts, batch by batch.
  func batches(bytes: Int = 1 << 20, withTexts: Bool = true) -> () throws(CorpusError) -> Batch? {
    let reader = BatchReader(self, bytes: bytes, withTexts: withTexts)
    return { () throws(CorpusError) in try reader.next() }
  }

  private final class BatchReader {
    private let corpus: CleanedCorpus
    private let bytes: Int
    private let withTexts: Bool
    private var segment = 0
    private var offset = 0
    private var textOffset = 0
    /// Records that are read ahead, of the segment, from `offset` on.
    private var records: [CleanedStore.Record] = []
    private var used = 0

    init(_ corpus: CleanedCorpus, bytes: Int, withTexts: Bool) {
      self.corpus = corpus
      self.bytes = bytes
      self.withTexts = withTexts
    }

    func next() throws(CorpusError) -> Batch? {
      guard segment < corpus.segments.count else { return nil }
      let start = corpus.segments[segment].start + offset
      var all: [CleanedStore.Record] = []
      var texts: [UInt8] = []
      var length = 0
      // Of small files many go together: what is done for each batch costs more than a small text.
      while segment < corpus.segments.count, all.count < CleanedCorpus.recordsAtOnce, length < bytes || !withTexts {
        let some = try take(most: withTexts ? bytes - length : Int.max)
        all += some.records
        if texts.isEmpty { texts = some.texts } else { texts += some.texts }
        length += some.length
      }
      return Batch(start: start, records: all, texts: texts)
    }

    /// Documents of the segment that it is at, up to the one that reaches so many bytes.
    private func take(
      most bytes: Int
    ) throws(CorpusError) -> (records: ArraySlice<CleanedStore.Record>, texts: [UInt8], length: Int) {
      let place = corpus.segments[segment]
      let store = corpus.stores[place.store]
      if used == records.count {
        let first = place.documents.lowerBound + offset
        records = try store.records(first..<min(first + CleanedCorpus.recordsAtOnce, place.documents.upperBound))
        used = 0
      }
      var (count, length) = (0, 0)
      while used + count < records.count, length < bytes {
        length += records[used + count].length
        count += 1
      }
      let textStart = place.textStart + textOffset
      let some = records[used..<used + count]
      let texts = withTexts ? try store.text(textStart..<textStart + length) : []
      used += count
      offset += count
      textOffset += length
      if offset == place.documents.count {
        segment += 1
        (offset, textOffset, used) = (0, 0, 0)
        records = []
      }
      return (some, texts, length)
    }
  }
}
