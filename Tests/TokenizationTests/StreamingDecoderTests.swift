import Testing
import Tokenization

@Suite("StreamingDecoder")
struct StreamingDecoderTests {
  /// The id of each byte.
  private func byteIDs(_ tokenizer: Tokenizer) -> [UInt8: Int32] {
    var ids: [UInt8: Int32] = [:]
    for id in 1...256 as ClosedRange<Int32> {
      if let token = tokenizer.token(id), token.count == 1 { ids[token[0]] = id }
    }
    return ids
  }

  @Test("prints only whole characters, each as soon as it is whole")
  func holdsBack() throws {
    let tokenizer = try learned(.gpt2)
    let ids = byteIDs(tokenizer)
    var decoder = StreamingDecoder(tokenizer)
    var pieces: [String] = []
    for byte in "é中😀x".utf8 { pieces.append(decoder.append(try #require(ids[byte]))) }
    #expect(pieces == ["", "é", "", "", "中", "", "", "", "😀", "x"])
    #expect(decoder.finish() == "")
  }

  @Test("the pieces together are the text, whatever the tokens")
  func piecesAddUp() throws {
    let tokenizer = try learned(.cl100k)
    var generator = Seeded(6)
    for _ in 0..<500 {
      let text = randomText(&generator)
      var decoder = StreamingDecoder(tokenizer, skipSpecialTokens: false)
      var result = ""
      for id in tokenizer.encode(text, specialTokens: true) { result += decoder.append(id) }
      result += decoder.finish()
      #expect(Array(result.utf8) == Array(text.utf8))
    }
  }

  @Test("of bytes that are no UTF-8 nothing is printed, or, where asked, what decode gives")
  func invalidBytes() throws {
    let tokenizer = try learned(.gpt2)
    let ids = byteIDs(tokenizer)
    var generator = Seeded(7)
    let bytes: [UInt8] = [
      0x41, 0xC3, 0xA9, 0xE4, 0xB8, 0xAD, 0xF0, 0x9F, 0x98, 0x80, 0xED, 0xA0, 0xC0, 0xFF, 0xF4, 0x90,
    ]
    for _ in 0..<2000 {
      let sequence = (0..<12).compactMap { _ in bytes.randomElement(using: &generator).flatMap { ids[$0] } }
      var omitting = StreamingDecoder(tokenizer)
      var replacing = StreamingDecoder(tokenizer, invalidBytes: .replace)
      var (omitted, replaced) = ("", "")
      for id in sequence {
        omitted += omitting.append(id)
        replaced += replacing.append(id)
      }
      omitted += omitting.finish()
      replaced += replacing.finish()
      #expect(replaced == tokenizer.decode(sequence))
      #expect(!omitted.unicodeScalars.contains("\u{FFFD}"))
      #expect(omitted == String(replaced.unicodeScalars.filter { $0 != "\u{FFFD}" }.map(Character.init)))
    }
  }

  @Test("special tokens are left out unless wanted")
  func specialTokens() throws {
    let tokenizer = try learned(.gpt2)
    var decoder = StreamingDecoder(tokenizer)
    #expect(decoder.append(0) == "")
    var telling = StreamingDecoder(tokenizer, skipSpecialTokens: false)
    #expect(telling.append(0) == "<|endoftext|>")
  }
}
