import Corpus
import Dispatch
import Formats
import Foundation
import Synchronization
import Tokenization
import Training

/// How fast text becomes tokens, and a vocabulary is learned, with the text in memory: no disk, no cleaning.
struct TokenizerSpeed {
  private let documents: [[UInt8]]
  private let threads: Int
  private var bytes: Int { documents.reduce(0) { $0 + $1.count } }

  /// - Parameter file: whatever `prepare` reads.
  init(file: String, threads: Int) throws {
    var documents: [[UInt8]] = []
    try DocumentTexts.forEach(in: file) { documents.append($0) }
    self.documents = documents
    self.threads = threads
  }

  struct Report {
    let what: String
    let bytes: Int
    /// Of all rounds.
    let seconds: [Double]
    /// Tokens that the text has become, or of the vocabulary.
    let tokens: Int
    let threads: Int

    private var median: Double { seconds.sorted()[seconds.count / 2] }

    var text: String {
      let speed = Double(bytes) / median / 1e6
      let range = "\(fixed(seconds.min() ?? 0, 3)) to \(fixed(seconds.max() ?? 0, 3)) s"
      return "\(what): \(fixed(median, 3)) s (\(range)), \(fixed(speed, 1)) MB/s on \(threads) threads, "
        + "\(compact(Double(tokens))) tokens from \(compact(Double(bytes))) bytes; "
        + "memory at most \(ProcessMemory.peak >> 20) MiB\n"
    }

    var json: JSON {
      [
        "what": JSON(what), "bytes": JSON(bytes), "seconds": JSON(median), "rounds": JSON(seconds.map { JSON($0) }),
        "tokens": JSON(tokens), "threads": JSON(threads), "peak_memory_bytes": JSON(ProcessMemory.peak),
      ]
    }
  }

  /// Encodes all documents, a few at a time on each thread.
  func encode(by tokenizer: Tokenizer, rounds: Int) -> Report {
    var tokens = 0
    let seconds = (0..<rounds).map { _ in
      let start = ContinuousClock.now
      tokens = encodeAll(tokenizer).reduce(0, +)
      return Training.seconds(ContinuousClock.now - start)
    }
    return Report(what: "encoding", bytes: bytes, seconds: seconds, tokens: tokens, threads: threads)
  }

  /// - Returns: how many tokens each thread has made.
  private func encodeAll(_ tokenizer: Tokenizer) -> [Int] {
    let parts = parts
    let documents = documents
    return Self.concurrently(parts.count) { part in
      let encoder = Encoder(tokenizer)
      var (ids, count) = ([Int32](), 0)
      for document in documents[parts[part]] {
        ids.removeAll(keepingCapacity: true)
        document.withUnsafeBytes { encoder.encode($0, specialTokens: false, into: &ids) }
        count += ids.count
      }
      return count
    }
  }

  /// Learns a vocabulary from all documents: counting words on every thread, merging pairs on one.
  func learn(vocabularySize: Int, pattern: SplitPattern) throws -> (Report, Tokenizer) {
    let start = ContinuousClock.now
    let parts = parts
    let documents = documents
    var counts = Self.concurrently(parts.count) { part in
      var counts = WordCounts(pattern: pattern)
      for document in documents[parts[part]] { document.withUnsafeBytes { counts.add($0) } }
      return counts
    }
    var all = counts.removeFirst()
    while let more = counts.popLast() { all.merge(more) }
    let tokenizer = try BPELearner(vocabularySize: vocabularySize, minimumFrequency: 2).learn(from: all)
    let took = seconds(ContinuousClock.now - start)
    let report = Report(
      what: "learning", bytes: bytes, seconds: [took], tokens: tokenizer.vocabularySize, threads: threads)
    return (report, tokenizer)
  }

  /// The documents of each thread: about as many bytes.
  private var parts: [Range<Int>] {
    var parts: [Range<Int>] = []
    var (first, size) = (0, 0)
    let share = bytes / threads + 1
    for (index, document) in documents.enumerated() {
      size += document.count
      if size >= share {
        parts.append(first..<index + 1)
        (first, size) = (index + 1, 0)
      }
    }
    if first < documents.count || parts.isEmpty { parts.append(first..<documents.count) }
    return parts
  }

  private static func concurrently<Result: Sendable>(_ count: Int, _ body: @Sendable (Int) -> Result) -> [Result] {
    let results = Mutex([Result?](repeating: nil, count: count))
    DispatchQueue.concurrentPerform(iterations: count) { index in
      let result = body(index)
      results.withLock { $0[index] = result }
    }
    return results.withLock { $0.compactMap(\.self) }
  }
}
