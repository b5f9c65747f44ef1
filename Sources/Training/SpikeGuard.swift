package import Compute
import Foundation

/// Tells updates that would do harm from noise, and a run that has gone wrong from one that learns.
///
/// **One update** is a spike where its loss, or the logarithm of its gradient norm, lies more than ``deviations`` robust
/// standard deviations above the median of the updates before. Median and median absolute deviation (times 1.4826: the
/// standard deviation of normal noise) hardly move when a few of them are spikes themselves. Of normal noise one in
/// 10¹⁵ is 8 deviations above. The device skips such an update, as it skips one that is no number.
///
/// **A run** has gone wrong where ``most`` updates in a row were skipped, where the median stays far above its best and
/// comes down no more, or where it rose above the first loss and is a good while later still not below it. Then the trainer
/// goes back (``lastGoodStep``).
///
/// It is a function of the reports alone, so that a resumed run decides as one that was never stopped.
package struct SpikeGuard: Sendable, Equatable {
  package struct Limits: Sendable, Equatable {
    package var loss: Double
    package var gradientNorm: Double

    package init(loss: Double = .infinity, gradientNorm: Double = .infinity) {
      (self.loss, self.gradientNorm) = (loss, gradientNorm)
    }
  }

  package enum Problem: String, Sendable {
    case notFinite = "not_finite"
    case loss = "loss_spike"
    case gradientNorm = "gradient_spike"
  }

  /// Updates that medians are taken of, and the fewest that say anything.
  package static let window = 64
  private static let fewest = 32
  /// Updates whose median loss is where the run began.
  private static let first = 3
  /// Robust standard deviations above the median from which on an update is a spike.
  private static let deviations = 8.0
  /// Skipped updates in a row that are one too many.
  package static let most = 5
  /// Updates without a lower median, far above the best, after which nothing better is expected.
  private static let patience = 128
  /// Updates in which a loss that rose in the beginning should have come down below where it began.
  private static let startPatience = 256

  package enum Complaint: Sendable, Equatable, CustomStringConvertible {
    case skipped(inARow: Int)
    case stays(at: Double, best: Double)
    /// The rate may be too high, or there is nothing to learn: no reason to end a run.
    case learnsNothing(since: Int)

    package var description: String {
      func short(_ loss: Double) -> String { "\((loss * 1000).rounded() / 1000)" }
      return switch self {
      case .skipped(let count): "\(count) updates in a row were no numbers or spikes"
      case .stays(let loss, let best): "the loss stays at \(short(loss)) or above, and was \(short(best))"
      case .learnsNothing(let step): "the loss rose at the start and since step \(step) isn't below where it began"
      }
    }
  }

  /// Of the last updates that were made, the oldest first: a window, and one more.
  var losses: [Double] = []
  var norms: [Double] = []
  /// The last update that was noted, and the one that the last loss is of.
  var lastStep = 0
  var newest = 0
  var skippedInARow = 0
  var firstLoss: Double?
  /// The lowest median so far, or the first loss where none was lower.
  var bestLoss: Double?
  /// Where the median went far above its best; nil: it isn't.
  var highSince: Int?
  var lowestSince = 0.0
  var updatesSinceLowest = 0
  /// Where the median went far above the first loss before anything was learned; nil: it didn't, or something was since.
  var lostSince: Int?
  /// Up to this update nothing is a spike: it is passed for the second time.
  var pardonedUntil = 0

  package init() {}

  /// What update `step` may have. The update before is left out: where the device runs ahead, its report isn't here yet.
  package func limits(step: Int) -> Limits {
    let left = newest == step - 1 ? 1 : 0
    let losses = losses.dropLast(left).suffix(Self.window)
    let norms = norms.dropLast(left).suffix(Self.window)
    guard step > pardonedUntil, losses.count >= Self.fewest else { return Limits() }
    let (loss, lossDeviation) = Self.middle(losses)
    // The norm's noise is a factor, so its logarithm is what is compared.
    let (norm, normDeviation) = Self.middle(norms.map(log)[...])
    // Floors, for a text that is known by heart: there a batch that isn't stands out, and does no harm. A spike has a loss at
    // least 0.4 nats above the median, or a norm that is at least 11 times the median's and would be clipped by default.
    return Limits(
      loss: loss + Self.deviations * max(lossDeviation, 0.05),
      gradientNorm: max(1, exp(norm + Self.deviations * max(normDeviation, 0.3))))
  }

  /// Whether an update is known to be skipped that was the last one noted.
  package func hasSkipped(_ step: Int) -> Bool { lastStep == step && skippedInARow > 0 }

  /// Notes what an update found.
  ///
  /// - Returns: why it was skipped; nil: it was made.
  package mutating func note(_ report: UpdateReport, step: Int) -> Problem? {
    lastStep = step
    guard report.isFinite, report.isApplied else {
      skippedInARow += 1
      return !report.isFinite ? .notFinite : report.loss > limits(step: step).loss ? .loss : .gradientNorm
    }
    skippedInARow = 0
    // Nothing but padding: nothing was learned, and nothing is known.
    guard report.gradientNorm > 0 else { return nil }
    losses.append(report.loss)
    norms.append(report.gradientNorm)
    newest = step
    if losses.count > Self.window + 1 {
      losses.removeFirst()
      norms.removeFirst()
    }
    noteMedian()
    return nil
  }

  private mutating func noteMedian() {
    if firstLoss == nil, losses.count == Self.first { firstLoss = Self.middle(losses[...]).median }
    guard losses.count >= Self.window, let first = firstLoss else { return }
    let (median, deviation) = Self.middle(losses.suffix(Self.window))
    let best = bestLoss ?? first
    bestLoss = min(best, median)

    // Two in a hundred are what a model learns in a few updates, where it learns.
    let learned = first - 0.02 * abs(first)
    if median < learned { lostSince = nil }
    if best >= learned, median > first + max(0.25, deviation) { lostSince = lostSince ?? lastStep }

    // Beyond noise, and a good part of what was learned is lost.
    guard median > best + max(0.25, (first - best) / 4, 2 * deviation) else {
      highSince = nil
      return
    }
    if highSince == nil || median < lowestSince {
      highSince = highSince ?? lastStep
      (lowestSince, updatesSinceLowest) = (median, 0)
    } else {
      updatesSinceLowest += 1
    }
  }

  /// Whether nothing speaks against the weights as they are.
  package var isWell: Bool { skippedInARow == 0 && highSince == nil && lostSince == nil }

  /// Why the run should go back; nil: it goes on.
  package var complaint: Complaint? {
    if skippedInARow >= Self.most { return .skipped(inARow: skippedInARow) }
    if let lostSince, lastStep - lostSince >= Self.startPatience { return .learnsNothing(since: lostSince) }
    guard highSince != nil, updatesSinceLowest >= Self.patience, let bestLoss else { return nil }
    return .stays(at: lowestSince, best: bestLoss)
  }

  /// Takes it that there is nothing to learn.
  package mutating func accept() { lostSince = nil }

  /// The last update that the trouble has no part in.
  package var lastGoodStep: Int {
    // The weights after an update are known to be good when the next one's loss is.
    if skippedInARow > 0 { return lastStep - skippedInARow - 1 }
    // The median follows the loss half a window later.
    return (lostSince ?? highSince).map { max(0, $0 - Self.window) } ?? lastStep
  }

  /// Takes nothing for a spike until the run is beyond what it has failed at.
  package mutating func pardon(until step: Int) { pardonedUntil = step + Self.window }

  /// Median, and standard deviation by the median absolute deviation.
  private static func middle(_ values: ArraySlice<Double>) -> (median: Double, deviation: Double) {
    func median(_ values: some Collection<Double>) -> Double {
      let sorted = values.sorted()
      let half = sorted.count / 2
      return sorted.count.isMultiple(of: 2) ? (sorted[half - 1] + sorted[half]) / 2 : sorted[half]
    }
    let center = median(values)
    return (center, 1.4826 * median(values.map { abs($0 - center) }))
  }
}
