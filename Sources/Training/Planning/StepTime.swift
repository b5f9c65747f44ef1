package import Compute
import Models

/// What an update takes: a part that doesn't depend on its tokens (the optimizer, starting kernels), and one for each
/// token.
package struct StepTime: Sendable {
  package let fixed, perToken: Double
  /// False: reckoned from another model's.
  package let isMeasured: Bool

  package init(fixed: Double, perToken: Double, isMeasured: Bool) {
    self.fixed = fixed
    self.perToken = perToken
    self.isMeasured = isMeasured
  }

  package func seconds(tokens: Int) -> Double { fixed + Double(tokens) * perToken }

  /// Measures real updates of two sizes.
  ///
  /// - Parameters:
  ///   - settings: of the model; the batch is set here.
  ///   - enough: seconds that an update should take for its time to say something.
  ///   - most: seconds that the larger size may take; beyond, the smaller one says all.
  /// - Throws: ``ComputeError``.
  package static func measure(
    _ settings: Settings, executor: any Executor, enough: Double = 0.01, most: Double = .infinity
  ) throws -> StepTime {
    // A GPU says nothing of large updates by small ones.
    var rows = max(1, (executor.runsAhead ? 8192 : 512) / settings.train.context)
    var small = try fastest(settings, rows: rows, executor: executor)
    while small < enough, rows * settings.train.context < 1 << 16 {
      rows *= 4
      small = try fastest(settings, rows: rows, executor: executor)
    }
    guard 12 * small < most else {
      return StepTime(fixed: 0, perToken: small / Double(rows * settings.train.context), isMeasured: true)
    }
    let large = try fastest(settings, rows: 4 * rows, executor: executor)
    let perToken = max(0.1 * large, large - small) / Double(3 * rows * settings.train.context)
    return StepTime(
      fixed: max(0, small - perToken * Double(rows * settings.train.context)), perToken: perToken, isMeasured: true)
  }

  /// About what ``measure(_:executor:enough:)`` takes: three updates of each size, making the model beside.
  func measuringSeconds(context: Int) -> Double {
    4 * (seconds(tokens: max(512, context)) + seconds(tokens: 4 * max(512, context)))
  }

  /// That of another model on the same machine, by the work that each has to do.
  ///
  /// - Parameters:
  ///   - flops: floating-point operations per token, of the other model relative to this one.
  ///   - parameters: likewise.
  package func scaled(flops: Double, parameters: Double) -> StepTime {
    StepTime(fixed: fixed * parameters, perToken: perToken * flops, isMeasured: false)
  }

  /// Seconds of an update of so many rows, the fastest of some.
  ///
  /// - Parameter passRows: rows that are computed at once; nil: all.
  static func fastest(
    _ settings: Settings, rows: Int, passRows: Int? = nil, of updates: Int = 2, executor: any Executor
  ) throws -> Double {
    var settings = settings
    settings.train.batchSize = rows
    settings.train.microBatchSize = passRows
    settings.choosePrecision(for: executor)
    let test = try SpeedTest(settings, executor: executor)
    // The first update touches fresh memory: not typical.
    _ = try test.run(updates: 1)
    return try test.run(updates: updates).min() ?? .infinity
  }
}
