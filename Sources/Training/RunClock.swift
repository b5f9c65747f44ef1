/// The time that a run has used: monotonic, and going on after a resume from where the last line of metrics left it.
package struct RunClock: Sendable {
  private let now: @Sendable () -> Double
  private let start: Double
  private let before: Double

  /// - Parameters:
  ///   - before: seconds used before this process.
  ///   - now: seconds since some moment; tests of long runs give time of their own.
  package init(before: Double = 0, now: @escaping @Sendable () -> Double = Self.monotonic) {
    self.before = before
    self.now = now
    start = now()
  }

  package var elapsed: Double { before + (now() - start) }

  private static let origin = ContinuousClock.now

  /// Seconds since the first call.
  package static let monotonic: @Sendable () -> Double = { seconds(ContinuousClock.now - origin) }
}

package func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}
