package import Formats

extension SpikeGuard {
  package var json: JSON {
    func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
    return [
      "losses": .array(losses.map { .number($0) }), "norms": .array(norms.map { .number($0) }),
      "last_step": JSON(lastStep), "newest": JSON(newest), "skipped_in_a_row": JSON(skippedInARow),
      "first_loss": number(firstLoss),
      "best_loss": number(bestLoss), "high_since": highSince.map { JSON($0) } ?? .null,
      "lowest_since": .number(lowestSince), "updates_since_lowest": JSON(updatesSinceLowest),
      "lost_since": lostSince.map { JSON($0) } ?? .null, "pardoned_until": JSON(pardonedUntil),
    ]
  }

  /// Nil where it isn't what a training leaves.
  package init?(json: JSON) {
    self.init()
    let counts = ["last_step", "newest", "skipped_in_a_row", "updates_since_lowest", "pardoned_until"].compactMap {
      json[$0]?.int
    }
    guard let losses = json["losses"]?.array?.compactMap(\.double),
      let norms = json["norms"]?.array?.compactMap(\.double),
      losses.count == norms.count, losses.count <= Self.window + 1, (losses + norms).allSatisfy(\.isFinite),
      norms.allSatisfy({ $0 > 0 }), counts.count == 5, counts.allSatisfy({ (0..<1 << 60).contains($0) })
    else { return nil }
    (self.losses, self.norms) = (losses, norms)
    (lastStep, newest, skippedInARow) = (counts[0], counts[1], counts[2])
    (updatesSinceLowest, pardonedUntil) = (counts[3], counts[4])
    (firstLoss, bestLoss) = (json["first_loss"]?.double, json["best_loss"]?.double)
    (highSince, lostSince) = (json["high_since"]?.int, json["lost_since"]?.int)
    guard [highSince, lostSince].allSatisfy({ (0...lastStep).contains($0 ?? 0) }) else { return nil }
    lowestSince = json["lowest_since"]?.double ?? 0
  }
}
