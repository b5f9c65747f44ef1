import Foundation
import Tokenization

/// The words of a corpus, counted by several threads, each for itself.
///
/// Unchecked, because a lock guards the list of counts, and each of these belongs to one thread until all are done.
final class CountedWords: @unchecked Sendable {
  final class Counts {
    var counts: WordCounts
    init(_ pattern: SplitPattern) { counts = WordCounts(pattern: pattern) }
  }

  /// Bytes that were counted.
  var trainBytes = 0
  private let pattern: SplitPattern
  private var parts: [Counts] = []
  private let lock = NSLock()

  init(_ pattern: SplitPattern) { self.pattern = pattern }

  /// Counts of a thread's own.
  func newCounts() -> Counts {
    let counts = Counts(pattern)
    lock.withLock { parts.append(counts) }
    return counts
  }

  /// All counts together, when no thread counts any more; those of the threads are gone then.
  func merged() -> WordCounts {
    var all = WordCounts(pattern: pattern)
    if let first = parts.popLast() { swap(&all, &first.counts) }
    while let part = parts.popLast() { all.merge(part.counts) }
    return all
  }
}
