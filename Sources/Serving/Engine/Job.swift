import Synchronization

/// Work that waits or runs, and the stream of what it gives.
package final class Job: Sendable {
  package let work: Work
  package let output: AsyncThrowingStream<Output, any Error>
  private let continuation: AsyncThrowingStream<Output, any Error>.Continuation
  private let stop = Mutex<(any Error)?>(nil)

  /// Pieces that a reader may be behind: beyond, it is cut off, so that a slow one holds neither engine nor memory.
  private static let bufferLimit = 16_384

  init(_ work: Work) {
    self.work = work
    (output, continuation) = AsyncThrowingStream.makeStream(bufferingPolicy: .bufferingOldest(Self.bufferLimit))
  }

  /// Asks the job to end; what it gave so far stays.
  func cancel(_ reason: any Error) {
    stop.withLock { $0 = $0 ?? reason }
    continuation.finish(throwing: reason)
  }

  /// - Throws: why the job is to end.
  package func checkCancelled() throws {
    if let reason = stop.withLock({ $0 }) { throw reason }
  }

  /// Hands output on.
  ///
  /// - Throws: why the job is to end.
  package func give(_ output: Output) throws {
    try checkCancelled()
    if case .dropped = continuation.yield(output) { cancel(CancellationError()) }
  }

  func finish(throwing error: (any Error)? = nil) { continuation.finish(throwing: error) }
}
