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

  init(_ stores: [CleanedStore]) throws(CorpusError) {
    self.stores = stores
    // Of each store, the runs of documents that come from one file.
    var runs: [(unit: Int, store: Int, documents: Range<Int>, textStart: Int)] = []
    for (index, store) in stores.enumerated() {
      var text = 0
      for start in stride(from: 0, to: store.size.documents, by: Self.recordsAtOnce) {
        let range = start..<min(start + Self.recordsAtOnce, store.size.documents)
        for (offset, record) in try store.records(range).enumerated() {
          let document = start + offset
          if let last = runs.last, last.store == index, last.unit == record.unit || stores.count == 1 {
            runs[runs.count - 1].documents = last.documents.lowerBound..<document + 1
          } else {
            runs.append((record.unit, index, document..<document + 1, text))
          }
          text += record.length
        }
      }
    }
    for run in runs.sorted(by: { $0.unit < $1.unit }) {
      segments.append(
        Segment(store: run.store, documents: run.documents, textStart: run.textStart, start: documentCount))
      documentCount += run.documents.count
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
      let place = corpus.segments[segment]
      let store = corpus.stores[place.store]
      if used == records.count {
        let first = place.documents.lowerBound + offset
        records = try store.records(first..<min(first + CleanedCorpus.recordsAtOnce, place.documents.upperBound))
        used = 0
      }
      var (count, length) = (0, 0)
      while used + count < records.count, length < bytes || !withTexts {
        length += records[used + count].length
        count += 1
      }
      let textStart = place.textStart + textOffset
      let batch = Batch(
        start: place.start + offset, records: Array(records[used..<used + count]),
        texts: withTexts ? try store.text(textStart..<textStart + length) : [])
      used += count
      offset += count
      textOffset += length
      if offset == place.documents.count {
        segment += 1
        (offset, textOffset, used) = (0, 0, 0)
        records = []
      }
      return batch
    }
  }
}
