import Formats

/// The documents of a corpus that repeat no other, batch by batch.
struct KeptDocuments {
  struct Document: Sendable {
    /// Its number in the corpus.
    let number: Int
    let hash: ContentHash
    /// Bytes of its text.
    let length: Int
    /// Where its text stands in the batch's; empty where it wasn't asked for.
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

  /// Texts that another process has left, perhaps on another machine, are looked at before they go into a data set.
  func check(_ text: ArraySlice<UInt8>, of document: Document) throws(CorpusError) {
    let (store, number) = corpus.place(of: document.number)
    guard store.isForeign else { return }
    let hash = text.withUnsafeBytes { ContentHash($0) }
    if hash != document.hash { throw store.damaged(number, file: CleanedStore.textsName) }
  }

  /// A function that hands them out in order, with the texts that are asked for.
  func batches(
    texts isAskedFor: @escaping (CleanedStore.Record) -> Bool = { _ in true }
  ) -> () throws(CorpusError) -> Batch? {
    let verdicts = verdicts
    let next = corpus.batches { verdicts.isKept($0) && isAskedFor($1) }
    var start = 0
    return { () throws(CorpusError) in
      guard let batch = try next() else { return nil }
      var documents: [Document] = []
      for (index, record) in batch.records.enumerated() where verdicts.isKept(batch.start + index) {
        documents.append(
          Document(
            number: batch.start + index, hash: record.hash, length: record.length, range: batch.ranges[index],
            start: start))
        start += record.length
      }
      return Batch(documents: documents, texts: batch.texts)
    }
  }
}
