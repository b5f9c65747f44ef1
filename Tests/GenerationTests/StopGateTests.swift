import Compute
import Generation
import Testing

@Suite("Stop texts")
struct StopGateTests {
  /// What a gate lets through of pieces, and whether it is shut then.
  private static func pass(_ pieces: [String], stops: [String]) -> (text: String, isShut: Bool, shown: [String]) {
    var gate = StopGate(stops)
    var shown = pieces.map { gate.pass($0) }
    shown.append(gate.flush())
    return (shown.joined(), gate.isShut, shown)
  }

  @Test("are found across the borders of pieces, and no part of one gets out")
  func acrossPieces() {
    let found = Self.pass(["one tw", "o END", "ING", " three"], stops: ["ENDING"])
    #expect(found.text == "one two ")
    #expect(found.isShut)
    #expect(found.shown == ["one tw", "o ", "", "", ""])
  }

  @Test("that only begin are held back, and come once they are none")
  func heldBack() {
    var gate = StopGate(["###"])
    #expect(gate.pass("a##") == "a")
    #expect(gate.pass("b#") == "##b")
    #expect(gate.pass("") == "")
    #expect(!gate.isShut)
    #expect(gate.flush() == "#")
    #expect(gate.flush() == "")
  }

  @Test("may repeat their own beginning")
  func selfOverlap() {
    #expect(Self.pass(["aa", "ab", "c"], stops: ["aab"]).text == "a")
    #expect(Self.pass(["ab", "aba", "b", "d"], stops: ["ababd"]).text == "ab")
  }

  @Test("are whole characters, of any script")
  func characters() {
    let found = Self.pass(["你好", "，世", "界。再", "见"], stops: ["世界。"])
    #expect(found.text == "你好，")
    #expect(found.isShut)
    // 上 and 世 begin with the same byte: nothing of 上 is held back.
    #expect(Self.pass(["上上"], stops: ["世"]).shown == ["上上", ""])
  }

  @Test("that are empty stop nothing")
  func empty() {
    #expect(Self.pass(["abc"], stops: [""]).text == "abc")
    #expect(Self.pass(["abc"], stops: []).shown == ["abc", ""])
  }

  @Test("cut the text where the first of them is complete, in whatever pieces it comes")
  func definition() {
    var generator = PhiloxGenerator(seed: 20)
    let letters: [String] = ["a", "b", "é"]
    func text(_ lengths: ClosedRange<Int>) -> String {
      (0..<Int.random(in: lengths, using: &generator)).map { _ in letters.randomElement(using: &generator) ?? "" }
        .joined()
    }
    for _ in 0..<2000 {
      let stops = (0..<Int.random(in: 1...3, using: &generator)).map { _ in text(1...4) }
      let pieces = (0..<6).map { _ in text(0...4) }
      let whole = pieces.joined()
      // The shortest beginning that ends with a stop text, without the longest such text.
      let beginnings = (0...whole.count).map { whole.prefix($0) }
      let cut = beginnings.first { beginning in stops.contains { beginning.hasSuffix($0) } }
      let longest = stops.filter { cut?.hasSuffix($0) == true }.map(\.count).max() ?? 0
      let expected = cut.map { String($0.dropLast(longest)) } ?? whole
      let found = Self.pass(pieces, stops: stops)
      #expect(found.text == expected, "\(pieces) \(stops)")
      #expect(found.isShut == (cut != nil), "\(pieces) \(stops)")
    }
  }
}
