import Formats
import Tokenization

/// Finds the documents of a corpus that repeat earlier ones, in memory that is bounded but for a few bytes for each document.
struct DuplicateFinder {
  let corpus: CleanedCorpus
  /// Where what doesn't fit in memory is kept.
  let folder: String
  let memory: Int

  /// What each document is: the first of its kind, or which kind of repetition.
  struct Verdicts {
    fileprivate(set) var exact: BitSet
    fileprivate(set) var near: BitSet
    /// No copy of a document, but nothing else than lines of others: ``LineRemoval``.
    var emptied: BitSet

    init(documents: Int) {
      exact = BitSet(count: documents)
      near = BitSet(count: documents)
      emptied = BitSet(count: documents)
    }

    func isKept(_ document: Int) -> Bool { !exact[document] && !near[document] && !emptied[document] }
  }

  func find(_ kind: PrepareOptions.Deduplication) throws(CorpusError) -> Verdicts {
    var verdicts = Verdicts(documents: corpus.documentCount)
    guard kind != .none else { return verdicts }
    try findExact(&verdicts)
    if kind == .near { try findNear(&verdicts) }
    return verdicts
  }

  // MARK: Exact

  /// By the first 64 bits of their hashes, and where these are equal by all.
  private func findExact(_ verdicts: inout Verdicts) throws(CorpusError) {
    var sorter = SpillSorter(in: folder, memory: memory)
    let next = corpus.batches { _, _ in false }
    while let batch = try next() {
      for (index, record) in batch.records.enumerated() {
        try sorter.add(record.hash.words[0], document: batch.start + index)
      }
    }
    var key: UInt64?
    // The different texts with this key: nearly always one.
    var firsts: [ContentHash] = []
    var pending: Int?
    try sorter.forEach { (pair) throws(CorpusError) in
      let document = Int(pair.document)
      if pair.key != key {
        key = pair.key
        firsts = []
        pending = document
        return
      }
      if let first = pending {
        firsts = [try hash(of: first)]
        pending = nil
      }
      let hash = try hash(of: document)
      if firsts.contains(hash) { verdicts.exact.insert(document) } else { firsts.append(hash) }
    }
  }

  private func hash(of document: Int) throws(CorpusError) -> ContentHash {
    let place = corpus.place(of: document)
    return try place.store.records(place.document..<place.document + 1)[0].hash
  }

  // MARK: Near

  /// Documents that share a key are compared with the first of them and with the one before; what is alike is one group, of
  /// which the first stays.
  private func findNear(_ verdicts: inout Verdicts) throws(CorpusError) {
    var sorter = SpillSorter(in: folder, memory: memory)
    for segment in corpus.segments {
      let store = corpus.stores[segment.store]
      for start in stride(from: segment.documents.lowerBound, to: segment.documents.upperBound, by: 1 << 10) {
        let range = start..<min(start + 1 << 10, segment.documents.upperBound)
        for (index, key) in try store.signatureKeys(range).enumerated() where key != 0 {
          let document = segment.start + start - segment.documents.lowerBound + index / MinHashSignature.bands
          if !verdicts.exact[document] { try sorter.add(key, document: document) }
        }
      }
    }
    var groups = Groups(count: corpus.documentCount)
    var key: UInt64?
    var (first, last) = (0, 0)
    var (firstBytes, lastBytes): ([UInt8]?, [UInt8]?) = (nil, nil)
    try sorter.forEach { (pair) throws(CorpusError) in
      let document = Int(pair.document)
      guard pair.key == key else {
        key = pair.key
        (first, last) = (document, document)
        (firstBytes, lastBytes) = (nil, nil)
        return
      }
      // Most pairs come in several bands.
      if groups.first(of: document) == groups.first(of: first) {
        (last, lastBytes) = (document, nil)
        return
      }
      let bytes = try signature(document)
      if firstBytes == nil { firstBytes = try signature(first) }
      if lastBytes == nil { lastBytes = last == first ? firstBytes : try signature(last) }
      if Self.areAlike(bytes, firstBytes) {
        groups.join(first, document)
      } else if last != first, Self.areAlike(bytes, lastBytes) {
        groups.join(last, document)
      }
      (last, lastBytes) = (document, bytes)
    }
    for document in 0..<corpus.documentCount where groups.first(of: document) != document {
      verdicts.near.insert(document)
    }
  }

  private func signature(_ document: Int) throws(CorpusError) -> [UInt8] {
    let place = corpus.place(of: document)
    return try place.store.signatureBytes(place.document)
  }

  private static func areAlike(_ one: [UInt8], _ other: [UInt8]?) -> Bool {
    guard let other else { return false }
    return one.withUnsafeBytes { one in
      other.withUnsafeBytes { other in MinHashSignature.similarity(one, other) >= MinHashSignature.threshold }
    }
  }
}

/// Groups of documents, each named by its first (Tarjan, "Efficiency of a good but not linear set union algorithm", 1975; the
/// smaller number becomes the parent, paths are halved).
private struct Groups {
  private var parents: [UInt32]

  init(count: Int) { parents = (0..<UInt32(count)).map(\.self) }

  mutating func first(of document: Int) -> Int {
    var place = UInt32(document)
    while parents[Int(place)] != place {
      parents[Int(place)] = parents[Int(parents[Int(place)])]
      place = parents[Int(place)]
    }
    return Int(place)
  }

  mutating func join(_ one: Int, _ other: Int) {
    let (a, b) = (first(of: one), first(of: other))
    parents[max(a, b)] = UInt32(min(a, b))
  }
}
