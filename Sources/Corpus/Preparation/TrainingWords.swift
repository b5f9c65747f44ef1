import Formats
import Tokenization

/// The words of the training split, or of a sample of it, that a vocabulary is learned from.
struct TrainingWords {
  let kept: KeptDocuments
  let rule: SplitRule
  let pattern: SplitPattern
  let workers: Int
  /// Bytes that the whole work is kept within.
  let memory: Int
  let notify: @Sendable (PrepareEvent) -> Void

  struct Counted {
    var words: WordCounts
    /// Of the whole split, where a sample was counted by its share.
    var trainBytes: Int
  }

  /// Of more text than this, words that are rarer change nothing.
  private var mostText: Int { memory / 4 }
  /// Different words of so many bytes: learning takes 20 to 35 times as much.
  private var mostWords: Int { memory / 64 }
  /// Longer documents are sampled by pieces of this many bytes.
  private static let piece = 1 << 16

  func count() throws(CorpusError) -> Counted {
    if rule.corpusBytes <= mostWords { return try count(1) }
    let first = share(mostWords / 4)
    let counted = try count(first)
    // More text has more different words, at most in proportion; Chinese, where a clause is a word, comes near to that.
    let fitting = first * Double(mostWords) / Double(max(1, counted.words.byteCount))
    return try count(min(share(mostText), fitting))
  }

  private func share(_ bytes: Int) -> Double { min(1, Double(bytes) / Double(max(1, rule.corpusBytes))) }

  private func count(_ share: Double) throws(CorpusError) -> Counted {
    let bytes = Int(share * Double(rule.corpusBytes))
    notify(.stage("counting words" + (share < 1 ? " in a sample of \(max(1, bytes >> 20)) MiB" : "")))
    let counts = CountedWords(pattern)
    let rule = rule
    try OrderedWork.run(
      workers: workers,
      next: kept.batches { $0.length > Self.piece || Self.isSampled($0.hash, piece: 0, share) },
      worker: {
        let mine = counts.newCounts()
        return { (batch: KeptDocuments.Batch) in
          var bytes = 0
          for document in batch.documents where !document.range.isEmpty {
            let text = batch.texts[document.range]
            for part in rule.parts(of: text, hash: document.hash, start: document.start) where part.split == .train {
              Self.forEachSampled(text, part.range, document.hash, share) { words in
                words.withUnsafeBytes { mine.counts.add($0) }
                bytes += words.count
              }
            }
          }
          return bytes
        }
      },
      take: { (bytes: Int) in counts.trainBytes += bytes })
    return Counted(words: counts.merged(), trainBytes: Int(Double(counts.trainBytes) / share))
  }

  private static func forEachSampled(
    _ text: ArraySlice<UInt8>, _ part: Range<Int>, _ hash: ContentHash, _ share: Double,
    _ body: (ArraySlice<UInt8>) -> Void
  ) {
    func slice(_ range: Range<Int>) -> ArraySlice<UInt8> { text.dropFirst(range.lowerBound).prefix(range.count) }
    // A document whose text was read is in the sample, unless it is long.
    if share >= 1 || text.count <= piece { return body(slice(part)) }
    var start = part.lowerBound
    while start < part.upperBound {
      var end = min(start + piece, part.upperBound)
      // Bytes 10xxxxxx go on with a character.
      while end < part.upperBound, text[text.startIndex + end] & 0xC0 == 0x80 { end += 1 }
      if isSampled(hash, piece: start, share) { body(slice(start..<end)) }
      start = end
    }
  }

  /// By other digits of the hash than those that decide on the split. A larger share has all that a smaller one has.
  private static func isSampled(_ hash: ContentHash, piece: Int, _ share: Double) -> Bool {
    share >= 1 || Double(scrambled(hash.words[1] ^ UInt64(piece)) >> 11) * 0x1p-53 < share
  }
}
