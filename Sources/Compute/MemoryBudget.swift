import Foundation
import Synchronization

/// Counts what is mapped against what the machine can give.
///
/// A system may promise more memory than it has and end the process when it is touched, without a word. What is
/// mapped here is touched sooner or later, so that it must fit as a whole.
enum MemoryBudget {
  private static let taken = Atomic<Int>(0)
  /// Bytes that could be had when the first were asked for; nil where the system doesn't say.
  private static let limit = available()

  static var held: Int { taken.load(ordering: .relaxed) }

  /// Asks for memory that is about to be mapped. False: it can't be had.
  static func take(_ bytes: Int) -> Bool {
    let (_, total) = taken.add(bytes, ordering: .relaxed)
    if let limit, total > limit {
      give(bytes)
      return false
    }
    return true
  }

  static func give(_ bytes: Int) {
    taken.subtract(bytes, ordering: .relaxed)
  }

  private static func available() -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
    let lines = text.split(separator: "\n")
    func bytes(_ name: String) -> Int? {
      let fields = lines.first { $0.hasPrefix(name + ":") }?.split(separator: " ")
      return fields.flatMap { $0.count > 1 ? Int($0[1]) : nil }.map { $0 << 10 }
    }
    guard let free = bytes("MemAvailable") else { return nil }
    let limits = [free + (bytes("SwapFree") ?? 0), containerLimit()].compactMap(\.self)
    // The rest is for all else that this process holds.
    return limits.min().map { $0 - $0 / 16 }
  }

  /// What a container may use in all.
  private static func containerLimit() -> Int? {
    let text = try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8)
    return text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  }
}
