import Formats
import Testing
import Training

@Suite("The loss scale")
struct LossScaleTests {
  @Test("halves where gradients overflow, and doubles after 2,000 updates in a row that don't")
  func dynamics() {
    var scale = LossScale()
    #expect(scale.value == 65_536)
    for _ in 0..<1999 { scale.note(isFinite: true) }
    #expect(scale.value == 65_536)
    scale.note(isFinite: false)
    #expect(scale.value == 32_768 && scale.finiteUpdates == 0)
    for _ in 0..<1999 { scale.note(isFinite: true) }
    #expect(scale.value == 32_768 && scale.finiteUpdates == 1999)
    scale.note(isFinite: true)
    #expect(scale.value == 65_536 && scale.finiteUpdates == 0)
  }

  @Test("never grows beyond what a number can be")
  func limit() throws {
    var scale = try #require(LossScale(value: 0x1p127, finiteUpdates: 1999))
    scale.note(isFinite: true)
    #expect(scale.value == 0x1p127 && scale.finiteUpdates == 0)
  }

  @Test("of a file is one that a training leaves")
  func impossible() {
    for (value, updates) in [
      (Float.infinity, 0), (.nan, 0), (0, 0), (-1, 0), (LossScale.least / 2, 0), (1, -1), (1, 2000),
    ] {
      #expect(LossScale(value: value, finiteUpdates: updates) == nil)
    }
  }
}
