import Formats
import Testing
import Tokenization

@Suite("WordPiece")
struct WordPieceTests {
  private static let words = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "the", "##e", "cafe", "café", ",", ".", "'",
    "中", "文", "t", "don", "Don", "strasse", "straße", "i", "i\u{307}", "##m",
  ]

  /// A tokenizer.json of BERT's.
  static func json(_ normalizer: JSONObject = JSONObject(), longest: Int = 100) -> JSON {
    var vocabulary = JSONObject()
    for (id, word) in words.enumerated() { vocabulary[word] = JSON(id) }
    var options: JSONObject = JSONObject()
    options["type"] = "BertNormalizer"
    options["clean_text"] = true
    options["handle_chinese_chars"] = true
    options["strip_accents"] = nil as JSON
    options["lowercase"] = true
    for (key, value) in normalizer { options[key] = value }
    return [
      "added_tokens": .array(words[..<5].enumerated().map { addedToken($0, $1) }),
      "normalizer": .object(options), "pre_tokenizer": ["type": "BertPreTokenizer"],
      "post_processor": ["type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]],
      "decoder": ["type": "WordPiece", "prefix": "##", "cleanup": true],
      "model": [
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": JSON(longest), "vocab": .object(vocabulary),
      ],
    ]
  }

  private func tokens(_ text: String, _ tokenizer: Tokenizer) -> [String] {
    tokenizer.encode(text, specialTokens: true).map { Self.words[Int($0)] }
  }

  @Test("takes the longest tokens from left to right, or the word is unknown")
  func longestFirst() throws {
    let tokenizer = try Tokenizer(json: Self.json(longest: 9))
    #expect(tokens("unaffable", tokenizer) == ["un", "##aff", "##able"])
    #expect(tokens("thee the", tokenizer) == ["the", "##e", "the"])
    #expect(tokens("theq unq", tokenizer) == ["[UNK]", "[UNK]"])
    #expect(tokens("unaffablee", tokenizer) == ["[UNK]"], "ten characters are more than nine")
    #expect(tokens("", tokenizer).isEmpty)
    #expect(tokens(" \n\t ", tokenizer).isEmpty)
  }

  @Test("cuts at punctuation and around Chinese characters; special tokens are found as they stand")
  func cuts() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    #expect(tokens("the,the. 中文the", tokenizer) == ["the", ",", "the", ".", "中", "文", "the"])
    #expect(tokens("the[MASK]the", tokenizer) == ["the", "[MASK]", "the"])
    #expect(tokens("the[mask]", tokenizer) == ["the", "[UNK]", "[UNK]", "[UNK]"])
    #expect(tokenizer.encode("[SEP]", specialTokens: false).allSatisfy { $0 == 1 })
  }

  @Test("cleans text, and takes capitals and accents away where the file says so")
  func normalizes() throws {
    let uncased = try Tokenizer(json: Self.json())
    #expect(tokens("CAFÉ cafe\u{301} THE\u{0}\u{200d}\u{a0}\u{3000}the", uncased) == ["cafe", "cafe", "the", "the"])
    #expect(tokens("\u{130} Straße", uncased) == ["i", "straße"])
    let accents = try Tokenizer(json: Self.json(options(["strip_accents": false])))
    #expect(tokens("CAFÉ \u{130}", accents) == ["café", "i\u{307}"])
    let cased = try Tokenizer(json: Self.json(options(["lowercase": false])))
    #expect(tokens("Don don café", cased) == ["Don", "don", "café"])
    let stripped = try Tokenizer(json: Self.json(options(["lowercase": false, "strip_accents": true])))
    #expect(tokens("Don café", stripped) == ["Don", "cafe"])
  }

  private func options(_ json: JSON) -> JSONObject { json.object ?? JSONObject() }

  @Test("decodes with spaces between words, none before punctuation; pieces add up")
  func decodes() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    let ids = tokenizer.encode("Unaffable, the don't 中文.", specialTokens: true)
    #expect(tokenizer.decode(ids) == "unaffable, the don ' t 中 文.")
    for invalid in [StreamingDecoder.InvalidBytes.omit, .replace] {
      var decoder = StreamingDecoder(tokenizer, invalidBytes: invalid)
      let pieces = ids.map { decoder.append($0) } + [decoder.finish()]
      #expect(pieces.joined() == tokenizer.decode(ids))
    }
    #expect(tokenizer.decode([2, 8, 3], skipSpecialTokens: true) == "the")
    #expect(tokenizer.decode([2, 8, 3]) == "[CLS] the [SEP]")
  }

  @Test("counts a word's bytes and the space before it, but none before punctuation and Chinese")
  func byteCounts() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    func count(_ text: String) -> Int {
      tokenizer.encode(text, specialTokens: true).reduce(0) { $0 + tokenizer.byteCount($1) }
    }
    #expect(count("unaffable") == 10)
    #expect(count("the, the") == 9)
    #expect(count("中文") == 6)
    #expect(count("[SEP][UNK]") == 0)
    #expect(tokenizer.byteCount(-1) == 0 && tokenizer.byteCount(999) == 0)
    #expect(tokenizer.token(6) == Array("aff".utf8))
    #expect(tokenizer.token(8) == Array(" the".utf8))
  }

  @Test("has BERT's special tokens: [SEP] ends a text, [MASK] hides, [CLS] and [SEP] stand around")
  func specialTokens() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    #expect(tokenizer.endOfText == 3)
    #expect(tokenizer.maskToken == 4)
    #expect(try tokenizer.withMaskToken().vocabularySize == tokenizer.vocabularySize)
    #expect(tokenizer.vocabularySize == Self.words.count)
    #expect(try tokenizer.addingSpecialTokens(to: [8]) == [2, 8, 3])
    #expect(!tokenizer.isByteLevel && tokenizer.pattern == .none)
    #expect(throws: TokenizationError.notByteLevel("BPE-dropout")) { try BPEDropout(tokenizer, rate: 0.1) }
    let configuration = tokenizer.configurationJSON(maximumLength: 512)
    #expect(configuration["mask_token"]?.string == "[MASK]")
    #expect(configuration["cls_token"]?.string == "[CLS]")
    #expect(configuration["eos_token"]?.string == "[SEP]")
  }

  @Test("bytes that are no UTF-8 are U+FFFD, which cleaning takes away")
  func invalidBytes() throws {
    let tokenizer = try Tokenizer(json: Self.json())
    #expect(tokenizer.encode([0x74, 0xFF, 0x68, 0x65], specialTokens: true) == [8])
  }

  @Test("the unknown token must be there")
  func unknownIsMissing() throws {
    var json = Self.json()
    try edit(&json, "model") { try edit(&$0, "unk_token") { $0 = "[NONE]" } }
    #expect(throws: TokenizationError.missingToken(key: "model.unk_token", token: "[NONE]")) {
      try Tokenizer(json: json)
    }
  }
}
