import Formats

/// What the machine's processors and their memory use, where Linux tells it (`powercap`, RAPL) and lets us read it. It
/// counts everything that runs there.
package struct EnergyMeter {
  /// A counter that begins anew after `range`.
  private struct Counter {
    let path: String
    let range: Double
    var last: Double
  }

  private var counters: [Counter]
  private var joules = 0.0
  private var lastReading = ContinuousClock.now

  /// At full power counters begin anew after a minute at the earliest.
  private static let interval = Duration.seconds(10)

  /// Nil where nothing can be read.
  ///
  /// - Parameter folder: holds a folder for each counter.
  package init?(folder: String = "/sys/class/powercap") {
    counters = ((try? FileSystem.names(in: folder)) ?? []).compactMap { zone in
      let path = Path.join(folder, zone)
      let name = Self.text(Path.join(path, "name")) ?? ""
      // Other counters are parts of these.
      guard name.hasPrefix("package") || name == "dram", let range = Self.number(path, "max_energy_range_uj"),
        let now = Self.number(path, "energy_uj")
      else { return nil }
      return Counter(path: path, range: range, last: now)
    }
    if counters.isEmpty { return nil }
  }

  /// Reads the counters if they may soon begin anew.
  package mutating func keepUp() {
    if ContinuousClock.now - lastReading >= Self.interval { read() }
  }

  /// What was used since this was asked before.
  package mutating func take() -> Double {
    read()
    defer { joules = 0 }
    return joules
  }

  private mutating func read() {
    lastReading = .now
    for index in counters.indices {
      guard let now = Self.number(counters[index].path, "energy_uj") else { continue }
      let used = now - counters[index].last
      joules += (used >= 0 ? used : used + counters[index].range) / 1e6
      counters[index].last = now
    }
  }

  private static func text(_ path: String) -> String? {
    (try? FileSystem.read(path)).map { String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self) }
  }

  private static func number(_ path: String, _ name: String) -> Double? {
    text(Path.join(path, name)).flatMap(Double.init)
  }
}
