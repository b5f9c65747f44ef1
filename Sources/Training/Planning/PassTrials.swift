package import Compute

/// Passes of 1, 2, 4, … rows, tried on the machine until they stop getting faster or don't fit: how many rows of an update
/// should be computed at once.
package struct PassTrials: Sendable {
  package struct Trial: Sendable {
    /// Sequences of a pass.
    package let rows: Int
    /// Of updates that are made of such passes.
    package let tokensPerSecond: Double
  }

  package private(set) var trials: [Trial] = []
  /// Whether larger passes are known to be no better.
  package private(set) var isComplete = false

  /// What is no faster than a smaller pass by more than this isn't worth its memory, nor told from noise.
  private static let notable = 0.02
  /// Rows of a measured update, in passes of fewer: the time of one small pass is hardly more than what is fixed, and what is
  /// left of it noise.
  private static let leastRows = 8
  private static let updates = 4

  /// - Parameters:
  ///   - settings: of the model and the update.
  ///   - fixed: seconds of an update that don't depend on its tokens.
  ///   - limit: seconds that there are for it.
  /// - Throws: ``ComputeError``.
  package init(_ settings: Settings, fixed: Double, executor: any Executor, seconds limit: Double) throws {
    let (B, T) = (settings.train.batchSize, settings.train.context)
    let start = ContinuousClock.now
    var (rows, last) = (1, 0.0)
    let least = settings.train.batchSizes[0]
    let powerOfTwo = least & -least
    while rows <= powerOfTwo, trialsSinceBest < 2 {
      let measured = max(rows, min(Self.leastRows, powerOfTwo))
      // Twice the rows take twice the time at most; the first update is one more, and the model is made.
      guard seconds(ContinuousClock.now - start) + 2 * Double(Self.updates + 2) * last < limit else { return }
      do {
        last = try StepTime.fastest(settings, rows: measured, passRows: rows, of: Self.updates, executor: executor)
      } catch ComputeError.outOfMemory where !trials.isEmpty {
        break
      }
      let update = fixed + Double(B) / Double(measured) * max(last - fixed, 0.1 * last)
      trials.append(Trial(rows: rows, tokensPerSecond: Double(B * T) / update))
      rows *= 2
    }
    isComplete = true
  }

  private var trialsSinceBest: Int {
    trials.reversed().prefix { $0.tokensPerSecond < fastest }.count
  }

  private var fastest: Double { trials.map(\.tokensPerSecond).max() ?? 0 }

  /// The fewest rows that are about as fast as the best; nil while that isn't known.
  package var chosenRows: Int? {
    isComplete ? trials.first { $0.tokensPerSecond >= (1 - Self.notable) * fastest }?.rows : nil
  }
}
