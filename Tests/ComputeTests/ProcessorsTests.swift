import Compute
import Foundation
import Testing

@Suite("Processors")
struct ProcessorsTests {
  @Test(
    "are counted in the mask of those that the process may run on",
    arguments: [
      ("Name:\tmayfly\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n", 2), ("Cpus_allowed:\tff,ffffffff,00000000\n", 40),
      ("Cpus_allowed:\t1\n", 1), ("Cpus_allowed:\n", nil), ("Cpus_allowed:\tmany\n", nil), ("Cpus_allowed:\t0\n", nil),
      ("", nil),
    ])
  func mask(status: String, expected: Int?) {
    #expect(Processors.allowed(status) == expected)
  }

  @Test(
    "are no more than a container has time for",
    arguments: [
      ("200000 100000\n", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000\n", nil), ("1 0", nil),
      ("-1 100000", nil), ("1e300 1", 1_000_000), ("nan 1", nil), ("", nil),
    ])
  func share(limit: String, expected: Int?) {
    #expect(Processors.shared(limit) == expected)
  }

  @Test("are one at least, and no more than the machine has")
  func some() {
    #expect((1...ProcessInfo.processInfo.processorCount).contains(Processors.usable))
  }
}
