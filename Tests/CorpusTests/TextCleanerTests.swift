import Corpus
import TestSupport
import Testing

@Suite("Cleaning text")
struct TextCleanerTests {
  private func clean(_ bytes: [UInt8]) -> String { String(decoding: TextCleaner.clean(bytes).bytes, as: UTF8.self) }

  @Test("clean text stays as it is")
  func untouched() {
    for text in ["", "a", "plain\ntext\n", "Ünïcödé 漢字 😀\u{10FFFF}\u{0}", String(repeating: "abcdefgh漢", count: 99)] {
      let result = TextCleaner.clean(Array(text.utf8))
      #expect(result.bytes == Array(text.utf8))
      #expect(result.invalidSequences == 0 && !result.changedLineEnds && !result.hadByteOrderMark)
    }
  }

  @Test("CR LF and CR become LF, wherever they stand")
  func lineEnds() {
    #expect(clean(Array("a\r\nb\rc\n\r\n\r\r\nd\r".utf8)) == "a\nb\nc\n\n\n\nd\n")
    for length in 0..<20 {
      let text = String(repeating: "x", count: length)
      #expect(clean(Array((text + "\r\n" + text).utf8)) == text + "\n" + text)
    }
    #expect(TextCleaner.clean(Array("a\r".utf8)).changedLineEnds)
  }

  @Test("a byte-order mark goes, but only at the start")
  func byteOrderMark() {
    let result = TextCleaner.clean([0xEF, 0xBB, 0xBF] + Array("a\u{FEFF}b".utf8))
    #expect(result.hadByteOrderMark)
    #expect(result.bytes == Array("a\u{FEFF}b".utf8))
    #expect(TextCleaner.clean([0xEF, 0xBB, 0xBF]).bytes == [])
  }

  @Test("invalid UTF-8 becomes U+FFFD exactly as the standard library decodes it, and is counted")
  func invalid() {
    let bytes: [[UInt8]] = [
      [0xFF], [0xC0, 0x80], [0xC2], [0xC2, 0x41], [0xE0, 0x80, 0x80], [0xE2, 0x82], [0xED, 0xA0, 0x80],
      [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80], [0x80, 0x80], [0x41, 0xE2, 0x82, 0x42],
    ]
    for bytes in bytes {
      let result = TextCleaner.clean(bytes)
      let expected = String(decoding: bytes, as: UTF8.self)
      #expect(result.bytes == Array(expected.utf8), "\(bytes)")
      #expect(result.invalidSequences == expected.unicodeScalars.count { $0 == "\u{FFFD}" }, "\(bytes)")
    }
  }

  @Test("random bytes come out as the standard library decodes them", arguments: 0..<40)
  func randomBytes(seed: Int) {
    // Few different bytes, so that valid sequences, cut ones and line ends all occur often.
    let alphabet: [UInt8] = [0x41, 0x20, 0x0A, 0x0D, 0x80, 0xA0, 0xBF, 0xC2, 0xE2, 0xED, 0xF0, 0xF4, 0x90, 0x9F, 0xFF]
    let bytes = integers(997, below: alphabet.count, seed: UInt64(seed)).map { alphabet[Int($0)] }
    let decoded = String(decoding: bytes, as: UTF8.self).unicodeScalars
    var expected: [Unicode.Scalar] = []
    for scalar in decoded {
      if scalar == "\n", expected.last == "\r" { expected.removeLast() }
      expected.append(scalar)
    }
    let text = String(String.UnicodeScalarView(expected.map { $0 == "\r" ? "\n" : $0 }))
    #expect(TextCleaner.clean(bytes).bytes == Array(text.utf8))
  }

  @Test("white space of any kind is blank, everything else isn't")
  func blank() {
    for text in ["", " ", "\n\t\r ", "\u{3000}\u{A0}\n", "\u{2028}"] { #expect(TextCleaner.isBlank(Array(text.utf8))) }
    for text in ["a", " .", "\n漢", "\u{3000}x", "\u{1}"] { #expect(!TextCleaner.isBlank(Array(text.utf8))) }
  }
}
