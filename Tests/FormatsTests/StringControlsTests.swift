import Formats
import Testing

@Suite("Text for a terminal")
struct StringControlsTests {
  @Test("shows what a terminal would obey, and leaves all else")
  func controls() {
    #expect("\u{1B}[31mred\u{7}\r\n".withVisibleControls == "␛[31mred␇␍\n")
    #expect("\u{0}\u{1F}\u{7F}\u{9B}2J".withVisibleControls == "␀␟␡\u{FFFD}2J")
    let text = "A tab\t, 灰猫, 👩‍👧 and a line\n"
    #expect(text.withVisibleControls == text)
    #expect("".withVisibleControls.isEmpty)
  }
}
