import Formats

/// Numbers of things by their names: what was read, repaired, dropped. Sums over parts of a corpus are those of the whole.
struct Tally: Sendable, Equatable {
  private var counts: [String: Int] = [:]

  /// More can't be: counts that are read from files are added up, and a few sums of this still fit in an Int.
  static let most = 1 << 56

  subscript(name: String) -> Int { counts[name] ?? 0 }

  mutating func add(_ name: String) { counts[name, default: 0] += 1 }

  mutating func add(_ count: Int, _ name: String) {
    if count > 0 { counts[name, default: 0] += count }
  }

  mutating func add(_ other: Tally) { counts.merge(other.counts) { min($0 + $1, Self.most) } }

  /// All under "prefix.", by what follows it, in the order of the names.
  func group(_ prefix: String) -> [(name: String, count: Int)] {
    counts.filter { $0.key.hasPrefix(prefix + ".") }
      .map { (name: String($0.key.dropFirst(prefix.utf8.count + 1)), count: $0.value) }
      .sorted { $0.name < $1.name }
  }

  var json: JSON {
    var object = JSONObject()
    for (name, count) in counts.sorted(by: { $0.key < $1.key }) { object[name] = JSON(count) }
    return .object(object)
  }

  /// nil where the JSON is no object of counts.
  init?(_ json: JSON) {
    guard let object = json.object else { return nil }
    for (key, value) in object {
      guard let count = value.int, (0...Self.most).contains(count) else { return nil }
      counts[key] = count
    }
  }

  init() {}
}
