import Formats
import Testing
import Tokenization

@Suite("SentencePiece's BPE")
struct SentencePieceTests {
  private static let special = ["<unk>", "<s>", "</s>"]
  private static let pieces = [
    "▁", "t", "h", "e", "a", "▁t", "he", "▁the", "▁a", "▁▁", "中", "▁▁▁▁",
  ]
  private static let merges: JSON = ["h e", "▁ t", ["▁t", "he"], "▁ a", "▁ ▁", "▁▁ ▁▁"]

  /// A tokenizer.json of Llama 2's: by default with a normalizer, as old files.
  private static func json(
    preTokenizer: JSON = nil, normalizer: JSON? = nil, bytes: Bool = true, fuses: Bool = true, merges: JSON = merges
  ) -> JSON {
    var vocabulary = JSONObject()
    let byteTokens = (0..<256).map { byte in
      "<0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) + ">"
    }
    for (id, token) in (special + (bytes ? byteTokens : []) + pieces).enumerated() { vocabulary[token] = JSON(id) }
    let replace: JSON = ["type": "Replace", "pattern": ["String": " "], "content": "▁"]
    let old: JSON = ["type": "Sequence", "normalizers": [["type": "Prepend", "prepend": "▁"], replace]]
    return [
      "added_tokens": .array(special.enumerated().map { addedToken($0, $1) }),
      "normalizer": normalizer ?? (preTokenizer.isNull ? old : .null), "pre_tokenizer": preTokenizer,
      "decoder": [
        "type": "Sequence",
        "decoders": [
          ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"], ["type": "Fuse"],
          ["type": "Strip", "content": " ", "start": 1, "stop": 0],
        ],
      ],
      "model": [
        "type": "BPE", "unk_token": "<unk>", "fuse_unk": .bool(fuses), "byte_fallback": .bool(bytes),
        "vocab": .object(vocabulary), "merges": merges,
      ],
    ]
  }

  private func pieces(_ text: String, _ json: JSON) throws -> [String] {
    let tokenizer = try Tokenizer(json: json)
    let texts = Dictionary(
      uniqueKeysWithValues: (json["model"]?["vocab"]?.object ?? JSONObject()).map { ($0.value.int ?? -1, $0.key) })
    return tokenizer.encode(text, specialTokens: true).map { texts[Int($0)] ?? "?" }
  }

  @Test("merges characters, spaces being marks; each text between special tokens gets one in front")
  func merges() throws {
    #expect(try pieces("the a", Self.json()) == ["▁the", "▁a"])
    #expect(try pieces(" the     ", Self.json()) == ["▁", "▁the", "▁▁▁▁", "▁"])
    #expect(try pieces("the</s>the", Self.json()) == ["▁the", "</s>", "▁the"])
    #expect(try pieces("", Self.json()).isEmpty)
    #expect(try pieces("the▁a", Self.json()) == ["▁the", "▁a"])
  }

  @Test(
    "Metaspace puts a mark before the first text, each text or none",
    arguments: [
      ("first", ["▁the", "</s>", "t", "he"]), ("always", ["▁the", "</s>", "▁the"]),
      ("never", ["t", "he", "</s>", "t", "he"]),
    ])
  func metaspace(prefix: String, expected: [String]) throws {
    for cutsWords in [false, true] {
      let step: JSON = [
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": .string(prefix), "split": .bool(cutsWords),
      ]
      #expect(try pieces("the</s>the", Self.json(preTokenizer: step)) == expected)
    }
  }

  @Test("cut words don't merge, whole texts do")
  func cutsWords() throws {
    func json(_ cuts: Bool) -> JSON {
      Self.json(preTokenizer: ["type": "Metaspace", "replacement": "▁", "split": .bool(cuts)])
    }
    #expect(try pieces("a  ", json(false)) == ["▁a", "▁▁"])
    #expect(try pieces("a  ", json(true)) == ["▁a", "▁", "▁"])
  }

  @Test("a merge over the border of words is made")
  func mergesOverBorders() throws {
    var json = Self.json(merges: ["▁ a", "a ▁a"])
    try edit(&json, "model") { try edit(&$0, "vocab") { try edit(&$0, "a▁a") { $0 = 400 } } }
    #expect(try pieces("a a", json) == ["▁a", "▁a"], "▁ a comes first, twice")
    json = Self.json(merges: ["a ▁", "▁ a"])
    try edit(&json, "model") { try edit(&$0, "vocab") { try edit(&$0, "a▁") { $0 = 400 } } }
    #expect(try pieces("aa a", json) == ["▁a", "a▁", "a"])
  }

  @Test("characters that are no tokens are their bytes, or unknown, one by one or together")
  func unknown() throws {
    #expect(try pieces("é", Self.json()) == ["▁", "<0xC3>", "<0xA9>"])
    #expect(try pieces("qqaq", Self.json(bytes: false)) == ["▁", "<unk>", "a", "<unk>"])
    #expect(try pieces("qqaq", Self.json(bytes: false, fuses: false)) == ["▁", "<unk>", "<unk>", "a", "<unk>"])
    var json = Self.json(bytes: false)
    try edit(&json, "model") { try edit(&$0, "unk_token") { $0 = .null } }
    #expect(try pieces("qqaq", json) == ["▁a"], "nothing stands for them")
  }

  @Test("decodes what it encoded, without the mark in front; bytes that are no text together are U+FFFD each")
  func decodes() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    var generator = Seeded(9)
    for _ in 0..<1000 {
      let text = randomText(&generator).replacing("▁", with: "")
      let ids = tokenizer.encode(text, specialTokens: false)
      #expect(Array(tokenizer.decode(ids).utf8) == Array(text.utf8))
      let bytes = ids.reduce(0) { $0 + tokenizer.byteCount($1) }
      #expect(bytes == (text.isEmpty ? 0 : text.utf8.count + 1))
    }
    func id(_ byte: Int) -> Int32 { Int32(3 + byte) }
    #expect(tokenizer.decode([id(0xE4), id(0xB8), id(0xAD)]) == "中")
    #expect(tokenizer.decode([id(0x41), id(0xE4)]) == "\u{FFFD}\u{FFFD}")
  }

  @Test("streams whole characters as soon as they are whole; the pieces are what decode gives")
  func streams() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    var generator = Seeded(10)
    for _ in 0..<1000 {
      let ids = (0..<12).map { _ in Int32.random(in: 0..<Int32(tokenizer.vocabularySize), using: &generator) }
      var replacing = StreamingDecoder(tokenizer, skipSpecialTokens: false, invalidBytes: .replace)
      let pieces = ids.map { replacing.append($0) } + [replacing.finish()]
      #expect(pieces.joined() == tokenizer.decode(ids))
    }
    var decoder = StreamingDecoder(tokenizer)
    #expect("中".utf8.map { decoder.append(Int32(3) + Int32($0)) } == ["", "", "中"])
    let the = tokenizer.encode("the", specialTokens: false)
    var first = StreamingDecoder(tokenizer)
    var behind = StreamingDecoder(tokenizer, behind: the)
    var behindSpecial = StreamingDecoder(tokenizer, behind: [1])
    #expect(the.map { first.append($0) } == ["the"])
    #expect(the.map { behind.append($0) } == [" the"])
    #expect(the.map { behindSpecial.append($0) } == ["the"])
  }

  @Test("one word of a megabyte is no trouble")
  func hugeWord() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    let word = String(repeating: "thea", count: 1 << 18)
    #expect(tokenizer.decode(tokenizer.encode(word, specialTokens: false)) == word)
  }

  @Test("</s> ends a text; a mask may be added; the kind is told")
  func specialTokens() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    #expect(tokenizer.endOfText == 2)
    #expect(tokenizer.maskToken == nil)
    #expect(try tokenizer.withMaskToken().maskToken == Int32(tokenizer.vocabularySize))
    #expect(!tokenizer.isByteLevel)
    #expect(tokenizer.configurationJSON(maximumLength: 8)["bos_token"]?.string == "<s>")
    #expect(try Tokenizer(jsonBytes: Array(tokenizer.json().serialized().utf8)).json() == tokenizer.json())
  }
}
