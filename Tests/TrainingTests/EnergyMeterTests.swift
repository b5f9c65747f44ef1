import Formats
import TestSupport
import Testing
import Training

@Suite("The energy meter")
struct EnergyMeterTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for (zone, name) in [("a", "package-0"), ("b", "core"), ("c", "dram")] {
      try FileSystem.createFolder(folder.file(zone))
      try FileSystem.write("\(name)\n", to: folder.file("\(zone)/name"))
      try FileSystem.write("10000000\n", to: folder.file("\(zone)/max_energy_range_uj"))
      try set(zone, 4_000_000)
    }
  }

  private func set(_ zone: String, _ microjoules: Int) throws {
    try FileSystem.write("\(microjoules)\n", to: folder.file("\(zone)/energy_uj"))
  }

  @Test("adds up processors and memory, nothing twice, and counters that begin anew")
  func adds() throws {
    var meter = try #require(EnergyMeter(folder: folder.path))
    try set("a", 6_000_000)
    try set("b", 9_000_000)
    try set("c", 4_500_000)
    #expect(meter.take() == 2.5)
    #expect(meter.take() == 0)
    try set("a", 1_000_000)
    #expect(meter.take() == 5)
  }

  @Test("is not there where nothing can be read")
  func absent() throws {
    #expect(EnergyMeter(folder: folder.file("none")) == nil)
    for zone in ["a", "c"] { try FileSystem.remove(folder.file("\(zone)/energy_uj")) }
    #expect(EnergyMeter(folder: folder.path) == nil)
  }
}
