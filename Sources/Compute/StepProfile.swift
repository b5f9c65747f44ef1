/// Where the time of an executor's work goes, by kind of operation.
///
/// An executor that is made with a profile notes in it what it runs while ``isOn``; otherwise that costs a branch per run.
package final class StepProfile {
  /// One kind of work: an operation of graphs, by the name of its type, or a pass over the parameters.
  package struct Entry: Sendable, Equatable {
    package var calls = 0
    package var seconds = 0.0
    /// Of matrix products, see ``Operation/flops(in:)``; 0 where memory traffic is the bound.
    package var flops = 0.0
  }

  package var isOn = false
  package private(set) var entries: [String: Entry] = [:]

  package init() {}

  /// Runs `body` and notes how long it took.
  package func time<T, E: Error>(_ kind: String, flops: Double = 0, _ body: () throws(E) -> T) throws(E) -> T {
    let start = ContinuousClock.now
    defer {
      let took = ContinuousClock.now - start
      var entry = entries[kind, default: Entry()]
      entry.calls += 1
      entry.seconds += took / .seconds(1)
      entry.flops += flops
      entries[kind] = entry
    }
    return try body()
  }
}
