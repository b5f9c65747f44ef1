import Formats

/// The documents of a corpus that repeat no other, batch by batch.
struct KeptDocuments {
  struct Document: Sendable {
    let hash: ContentHash
    /// Where its text stands in the batch's.
    let range: Range<Int>
    /// Where it begins in a text of all kept documents.
    let start: Int
  }

  struct Batch: Sendable {
    let documents: [Document]
    let texts: [UInt8]
  }

  private let corpus: CleanedCorpus
  private let verdicts: DuplicateFinder.Verdicts

  init(_ corpus: CleanedCorpus, _ verdicts: DuplicateFinder.Verdicts) {
    self.corpus = corpus
    self.verdicts = verdicts
  }

  /// A function that hands them out in order; with empty texts where they aren't asked for.
  func batches(withTexts: Bool = true) -> () throws(CorpusError) -> Batch? {
    let next = corpus.batches(withTexts: withTexts)
    let verdicts = verdicts
    var start = 0
    return { () throws(CorpusError) in
      guard let batch = try next() else { return nil }
      var documents: [Document] = []
      var place = 0
      for (index, record) in batch.records.enumerated() {
        if verdicts.isKept(batch.start + index) {
          documents.append(
            Document(hash: record.hash, range: place..<place + record.length, start: start))
          start += record.length
        }
        place += record.length
      }
      return Batch(documents: documents, texts: batch.texts)
    }
  }
}
