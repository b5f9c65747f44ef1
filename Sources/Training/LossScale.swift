/// What the loss is multiplied by in fp16, so that small gradients are no zeros: as large as gradients stay finite.
///
/// Doubled after a number of updates in a row that were finite, halved after one that was not; as
/// `torch.amp.GradScaler` does it. Micikevicius et al., "Mixed Precision Training", arXiv:1710.03740, section 3.2.
package struct LossScale: Sendable, Equatable {
  package private(set) var value: Float = 65_536
  /// Updates since the scale has changed.
  package private(set) var finiteUpdates = 0

  /// Finite updates in a row after which a larger scale is tried.
  package static let growthInterval = 2000
  /// Where gradients are no numbers even so, scaling is not what helps.
  package static let least: Float = 0x1p-24

  package init() {}

  package init?(value: Float, finiteUpdates: Int) {
    guard value.isFinite, value >= Self.least, (0..<Self.growthInterval).contains(finiteUpdates) else { return nil }
    (self.value, self.finiteUpdates) = (value, finiteUpdates)
  }

  /// Notes an update whose gradients were all finite, or not.
  package mutating func note(isFinite: Bool) {
    guard isFinite else {
      (value, finiteUpdates) = (value / 2, 0)
      return
    }
    finiteUpdates += 1
    guard finiteUpdates == Self.growthInterval else { return }
    finiteUpdates = 0
    if (2 * value).isFinite { value *= 2 }
  }
}
