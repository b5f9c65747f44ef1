import Foundation
import Generation
import Serving
import Synchronization
import Testing

/// An engine whose jobs each wait for a permission, then give one piece after the other until they are cancelled.
private final class Workshop: Sendable {
  let permission = DispatchSemaphore(value: 0)
  let started = DispatchSemaphore(value: 0)
  let performed = Mutex<[Int32]>([])

  func engine(capacity: Int) -> Engine {
    Engine(capacity: capacity) { [self] job in
      started.signal()
      permission.wait()
      guard case .embed(let texts) = job.work, let id = texts.first?.first else { return }
      performed.withLock { $0.append(id) }
      // What never ends by itself.
      while id == 99 { try job.give(.vectors([])) }
      try job.give(.vectors([[Float(id)]]))
    }
  }
}

private func vectors(_ job: Job) async throws -> [[Float]] {
  var all: [[Float]] = []
  for try await case .vectors(let found) in job.output { all += found }
  return all
}

@Suite("The engine", .timeLimit(.minutes(1)))
struct EngineTests {
  @Test("does what waits in its order, and refuses what the queue has no room for")
  func order() async throws {
    let shop = Workshop()
    let engine = shop.engine(capacity: 2)
    let first = try engine.submit(.embed([[1]]))
    shop.started.wait()
    let second = try engine.submit(.embed([[2]]))
    let third = try engine.submit(.embed([[3]]))
    #expect(engine.waitingCount == 2)
    #expect(throws: APIError.queueFull) { try engine.submit(.embed([[4]])) }
    for _ in 0..<3 { shop.permission.signal() }
    for (job, value) in [(first, 1), (second, 2), (third, 3)] { #expect(try await vectors(job) == [[Float(value)]]) }
    #expect(shop.performed.withLock { $0 } == [1, 2, 3])
    engine.abort()
    engine.join()
  }

  @Test("never begins what was cancelled while it waited, and its place is free again")
  func cancelWaiting() async throws {
    let shop = Workshop()
    let engine = shop.engine(capacity: 1)
    let first = try engine.submit(.embed([[1]]))
    shop.started.wait()
    let second = try engine.submit(.embed([[2]]))
    engine.cancel(second)
    let third = try engine.submit(.embed([[3]]))
    for _ in 0..<2 { shop.permission.signal() }
    #expect(try await vectors(first) == [[1]])
    await #expect(throws: CancellationError.self) { try await vectors(second) }
    #expect(try await vectors(third) == [[3]])
    #expect(shop.performed.withLock { $0 } == [1, 3])
    engine.abort()
    engine.join()
  }

  @Test("ends what runs at its next token when it is cancelled, or when nobody reads it")
  func cancelRunning() async throws {
    let shop = Workshop()
    let engine = shop.engine(capacity: 4)
    let endless = try engine.submit(.embed([[99]]))
    shop.permission.signal()
    shop.started.wait()
    engine.cancel(endless)
    // This one is never read: it ends when the buffer is full.
    _ = try engine.submit(.embed([[99]]))
    let last = try engine.submit(.embed([[3]]))
    for _ in 0..<2 { shop.permission.signal() }
    #expect(try await vectors(last) == [[3]])
    engine.abort()
    engine.join()
  }

  @Test("takes nothing more when it is to stop, does what waits, or ends it")
  func stopping() async throws {
    let shop = Workshop()
    let engine = shop.engine(capacity: 4)
    let first = try engine.submit(.embed([[1]]))
    let second = try engine.submit(.embed([[2]]))
    let endless = try engine.submit(.embed([[99]]))
    engine.drain()
    #expect(throws: APIError.stopping) { try engine.submit(.embed([[4]])) }
    for _ in 0..<3 { shop.permission.signal() }
    #expect(try await vectors(first) == [[1]])
    #expect(try await vectors(second) == [[2]])
    #expect(!engine.cutJobsOff)
    engine.abort()
    await #expect(throws: APIError.stopping) { try await vectors(endless) }
    #expect(engine.cutJobsOff)
    engine.join()
  }

  @Test("goes on after a job that failed")
  func failure() async throws {
    struct Broken: Error {}
    let engine = Engine(capacity: 2) { job in
      if case .embed(let texts) = job.work, texts.isEmpty { throw Broken() }
      try job.give(.vectors([[7]]))
    }
    let broken = try engine.submit(.embed([]))
    let next = try engine.submit(.embed([[1]]))
    await #expect(throws: Broken.self) { try await vectors(broken) }
    #expect(try await vectors(next) == [[7]])
    engine.abort()
    engine.join()
  }
}
