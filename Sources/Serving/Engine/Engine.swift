import Foundation
import Synchronization

/// Computes for everybody, one job at a time, on a thread of its own: a job takes all cores.
///
/// Whoever serves sees only ``submit(_:)``, ``cancel(_:)`` and the stream of a job, so that several jobs may be
/// computed together some day.
package final class Engine: Sendable {
  private struct State {
    var waiting: [Job] = []
    var running: Job?
    var isStopping = false
    var cutJobsOff = false
  }

  private let capacity: Int
  private let state = Mutex(State())
  /// Counts what the thread should look at.
  private let bell = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)

  /// The stack of a new thread is small, and programs are built by recursion.
  private static let stackSize = 8 << 20

  /// - Parameters:
  ///   - capacity: jobs that may wait.
  ///   - perform: does a job, on the engine's thread. What it throws ends the job's stream.
  package init(capacity: Int, perform: sending @escaping (Job) throws -> Void) {
    self.capacity = capacity
    // Handed over: only the thread uses it from here on.
    nonisolated(unsafe) let perform = perform
    let thread = Thread { self.run(perform) }
    thread.name = "mayfly-engine"
    thread.stackSize = Self.stackSize
    thread.start()
  }

  /// Puts work into the queue.
  ///
  /// - Throws: ``APIError/queueFull``, ``APIError/stopping``.
  package func submit(_ work: Work) throws(APIError) -> Job {
    let job = Job(work)
    let problem: APIError? = state.withLock { state in
      guard !state.isStopping else { return .stopping }
      guard state.waiting.count < capacity else { return .queueFull }
      state.waiting.append(job)
      return nil
    }
    if let problem { throw problem }
    bell.signal()
    return job
  }

  /// Takes a job out of the queue; one that runs ends at its next token. For one that has ended it does nothing.
  package func cancel(_ job: Job) {
    state.withLock { state in state.waiting.removeAll { $0 === job } }
    job.cancel(CancellationError())
  }

  package var waitingCount: Int { state.withLock { $0.waiting.count } }
  /// Whether ``abort()`` found jobs at hand.
  package var cutJobsOff: Bool { state.withLock { $0.cutJobsOff } }
  package var isStopping: Bool { state.withLock { $0.isStopping } }
  package var isRunning: Bool { state.withLock { $0.running != nil } }

  /// Takes nothing more; what waits and runs goes on.
  package func drain() {
    state.withLock { $0.isStopping = true }
    bell.signal()
  }

  /// Ends what waits and runs, now.
  package func abort() {
    drain()
    let jobs = state.withLock { state in
      let jobs = state.waiting + (state.running.map { [$0] } ?? [])
      state.waiting = []
      state.cutJobsOff = state.cutJobsOff || !jobs.isEmpty
      return jobs
    }
    for job in jobs { job.cancel(APIError.stopping) }
  }

  /// Waits until the thread has ended, after ``drain()`` or ``abort()``.
  package func join() {
    ended.wait()
    ended.signal()
  }

  private func run(_ perform: (Job) throws -> Void) {
    while true {
      bell.wait()
      let (job, isOver) = state.withLock { state in
        state.running = state.waiting.isEmpty ? nil : state.waiting.removeFirst()
        return (state.running, state.isStopping)
      }
      guard let job else {
        if isOver { break }
        continue
      }
      do {
        try job.checkCancelled()
        try perform(job)
        job.finish()
      } catch {
        job.finish(throwing: error)
      }
      state.withLock { $0.running = nil }
    }
    ended.signal()
  }
}
