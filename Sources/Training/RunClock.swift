/// The time that a run has used: monotonic, and going on after a resume from where the last line of metrics left it.
package struct RunClock: Sendable {
  private let start = ContinuousClock.now
  private let before: Double

  /// - Parameter before: seconds used before this process.
  package init(before: Double = 0) {
    self.before = before
  }

  package var elapsed: Double {
    before + seconds(ContinuousClock.now - start)
  }
}

package func seconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}
