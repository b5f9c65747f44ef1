import Foundation

/// Main memory that this process has.
package enum ProcessMemory {
  /// The most bytes so far.
  package static var peak: Int {
    var usage = rusage()
    #if os(Linux)
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    return usage.ru_maxrss << 10
    #else
    guard getrusage(RUSAGE_SELF, &usage) == 0 else { return 0 }
    return usage.ru_maxrss
    #endif
  }

  /// Bytes now; where the system doesn't say, the most so far.
  package static var resident: Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) } ?? peak : peak
  }
}
