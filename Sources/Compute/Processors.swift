import Foundation

/// How much of the machine's processors a process may use.
package enum Processors {
  /// Those that `taskset`, a batch system or a container leaves it, and no more than a container's share of time is enough for.
  package static let usable = max(
    1,
    [allowed(text(of: "/proc/self/status")), shared(text(of: "/sys/fs/cgroup/cpu.max"))].compactMap(\.self).min()
      ?? ProcessInfo.processInfo.activeProcessorCount)

  /// - Parameter status: as proc_pid_status(5) has it: a mask in hexadecimal words.
  package static func allowed(_ status: String) -> Int? {
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed:") }
    guard let mask = line?.split(whereSeparator: \.isWhitespace).dropFirst().first else { return nil }
    let words = mask.split(separator: ",").map { UInt64($0, radix: 16) }
    let count = words.reduce(0) { $0 + ($1?.nonzeroBitCount ?? 0) }
    return words.contains(nil) || count == 0 ? nil : count
  }

  /// - Parameter limit: as a control group (version 2) has it: microseconds of work in so many of time, or no limit.
  package static func shared(_ limit: String) -> Int? {
    let numbers = limit.split(whereSeparator: \.isWhitespace).map { Double($0) }
    guard numbers.count == 2, let work = numbers[0], let time = numbers[1], work > 0, time > 0 else { return nil }
    return Int(min(1e6, (work / time).rounded(.up)))
  }

  private static func text(of path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
}
