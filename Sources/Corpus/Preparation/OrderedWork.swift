import Dispatch
import Foundation
import Synchronization

/// Work on items that come one after the other, by several threads, whose results are taken in the items' order.
///
/// Each thread fetches an item (one at a time), works on it (all at once), and hands its result on when it is its turn. So at
/// most as many items are in memory as there are threads, and what comes out never depends on their number.
enum OrderedWork {
  /// - Parameters:
  ///   - workers: threads, at least 1. With one, all happens on the caller's.
  ///   - next: the next item; nil at the end. Called by one thread at a time, in order.
  ///   - worker: makes what one thread works with: a function from items to results.
  ///   - take: gets the results, by one thread at a time, in the order of the items.
  /// - Throws: the error of the first item, in their order, for which anything failed; nothing behind it is taken.
  static func run<Item: Sendable, Result: Sendable>(
    workers: Int, next: @escaping () throws(CorpusError) -> Item?,
    worker: @escaping () -> (Item) throws(CorpusError) -> Result,
    take: @escaping (Result) throws(CorpusError) -> Void
  ) throws(CorpusError) {
    if workers <= 1 {
      let work = worker()
      while let item = try next() { try take(try work(item)) }
      return
    }
    let line = AssemblyLine(next: next, worker: worker, take: take)
    // Larger than a thread's usual half MiB, for pages of HTML and JSON that lie deep.
    let threads = (1..<workers).map { _ in
      let thread = Thread { line.work() }
      thread.stackSize = 8 << 20
      thread.start()
      return thread
    }
    line.work()
    line.waitUntilOver(threads: threads.count)
    if let error = line.error { throw error }
  }
}

/// What the threads share.
///
/// Unchecked, because its lock guards all that changes, and `next` and `take` are only called by the thread whose turn it is.
private final class AssemblyLine<Item: Sendable, Result: Sendable>: @unchecked Sendable {
  private let next: () throws(CorpusError) -> Item?
  private let worker: () -> (Item) throws(CorpusError) -> Result
  private let take: (Result) throws(CorpusError) -> Void

  private let changed = NSCondition()
  private var isFetching = false
  private var fetched = 0
  private var taken = 0
  private var isOver = false
  private var ended = 0
  private(set) var error: CorpusError?

  init(
    next: @escaping () throws(CorpusError) -> Item?, worker: @escaping () -> (Item) throws(CorpusError) -> Result,
    take: @escaping (Result) throws(CorpusError) -> Void
  ) {
    self.next = next
    self.worker = worker
    self.take = take
  }

  /// What each thread does until there are no more items.
  func work() {
    let work = worker()
    while let (number, item) = fetch() {
      // The error waits for its turn, too: an earlier item may still fail.
      let result: Swift.Result<Result, CorpusError>
      do throws(CorpusError) {
        result = .success(try work(item))
      } catch {
        result = .failure(error)
      }
      guard deliver(result, number) else { break }
    }
    changed.lock()
    ended += 1
    changed.broadcast()
    changed.unlock()
  }

  func waitUntilOver(threads: Int) {
    changed.lock()
    while ended < threads + 1 { changed.wait() }
    changed.unlock()
  }

  private func fetch() -> (number: Int, item: Item)? {
    changed.lock()
    while isFetching { changed.wait() }
    if isOver {
      changed.unlock()
      return nil
    }
    isFetching = true
    let number = fetched
    changed.unlock()

    var item: Item?
    var failure: CorpusError?
    do throws(CorpusError) {
      item = try next()
    } catch {
      failure = error
    }

    changed.lock()
    isFetching = false
    if item == nil { isOver = true } else { fetched += 1 }
    changed.broadcast()
    changed.unlock()
    if let failure {
      _ = deliver(.failure(failure), number)
      return nil
    }
    return item.map { (number, $0) }
  }

  /// - Returns: false where the work is over for all.
  private func deliver(_ result: Swift.Result<Result, CorpusError>, _ number: Int) -> Bool {
    changed.lock()
    while taken < number, error == nil { changed.wait() }
    guard error == nil else {
      changed.unlock()
      return false
    }
    changed.unlock()

    // Only the thread whose number it is comes here.
    var failure: CorpusError?
    do throws(CorpusError) {
      try take(try result.get())
    } catch {
      failure = error
    }

    changed.lock()
    taken = number + 1
    if let failure {
      error = failure
      isOver = true
    }
    changed.broadcast()
    changed.unlock()
    return failure == nil
  }
}
