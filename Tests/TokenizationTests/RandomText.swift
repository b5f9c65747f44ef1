/// A small generator with a seed (SplitMix64), so that a failing test fails again.
struct Seeded: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}

/// Text of many scripts, contractions, runs, controls and special tokens.
func randomText(_ generator: inout Seeded, maximumPieces: Int = 30) -> String {
  let words = [
    "the", " and", "Hello", "'s", "'LL", "'\u{17f}", "don't", "  ", "\n", "\r\n", "\t", "\u{a0}", "\u{3000}", "!?",
    "...",
    "1234", "\u{663}", "é", "e\u{301}", "中文", "。", "한국", "\u{1100}\u{1161}\u{11a8}", "👨‍👩‍👧",
    "\u{200d}", "\u{feff}",
    "\0", "<|endoftext|>", "<|endof", "שלום", "नमस्ते", "--------", "\u{e000}", "\u{10FFFF}",
  ]
  let alphabets: [ClosedRange<UInt32>] = [
    0x20...0x7E, 0x20...0x7E, 0...0xFF, 0x300...0x36F, 0x400...0x4FF, 0x4E00...0x9FFF, 0x1F300...0x1FAFF, 0...0x10FFFF,
  ]
  var text = ""
  for _ in 0..<Int.random(in: 0...maximumPieces, using: &generator) {
    if Bool.random(using: &generator) {
      text += words.randomElement(using: &generator) ?? ""
    } else {
      let alphabet = alphabets.randomElement(using: &generator) ?? 0...0x7F
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        if let scalar = Unicode.Scalar(UInt32.random(in: alphabet, using: &generator)) {
          text.unicodeScalars.append(scalar)
        }
      }
    }
  }
  return text
}
