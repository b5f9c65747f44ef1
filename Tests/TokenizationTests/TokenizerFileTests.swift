import Formats
import Testing
import Tokenization

@Suite("tokenizer.json")
struct TokenizerFileTests {
  @Test(
    "what is written reads back as an equal tokenizer",
    arguments: [SplitPattern.gpt2, .cl100k, .cl100k(digits: 1), .none])
  func roundTrips(pattern: SplitPattern) throws {
    let tokenizer = try learned(pattern)
    let again = try Tokenizer(jsonBytes: Array(tokenizer.json().serialized(pretty: true).utf8))
    #expect(again.pattern == pattern)
    #expect(again.vocabularySize == tokenizer.vocabularySize)
    #expect(again.json() == tokenizer.json())
    #expect(again.encode(sampleText, specialTokens: true) == tokenizer.encode(sampleText, specialTokens: true))
  }

  @Test("merges may be pairs, the model's type and defaults may be missing, other parts are kept as they are")
  func otherForms() throws {
    let tokenizer = try learned(.gpt2)
    var json = tokenizer.json()
    try edit(&json, "post_processor") { $0 = ["type": "ByteLevel", "trim_offsets": false] }
    try edit(&json, "model") { model in
      try edit(&model, "merges") { merges in
        merges = .array(
          (merges.array ?? []).map { merge in
            .array((merge.string ?? "").split(separator: " ").map { .string(String($0)) })
          })
      }
      var object = model.object ?? JSONObject()
      for key in ["type", "ignore_merges", "byte_fallback", "dropout"] { object[key] = nil }
      model = .object(object)
    }
    let again = try Tokenizer(json: json)
    #expect(again.encode(sampleText, specialTokens: true) == tokenizer.encode(sampleText, specialTokens: true))
    #expect(again.json()["post_processor"]?["trim_offsets"]?.bool == false)
  }

  @Test("the pattern may be a Split that keeps the matches or drops what lies between")
  func splitBehaviors() throws {
    for (behavior, inverted) in [("Isolated", false), ("Removed", true)] {
      var json = try learned(.cl100k).json()
      try edit(&json, "pre_tokenizer") { step in
        step = [
          "type": "Sequence",
          "pretokenizers": [
            [
              "type": "Split", "pattern": ["Regex": .string(SplitPattern.cl100k(digits: 1).regex ?? "")],
              "behavior": .string(behavior), "invert": .bool(inverted),
            ],
            ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
          ],
        ]
      }
      #expect(try Tokenizer(json: json).pattern == .cl100k(digits: 1))
    }
  }

  @Test(
    "names the part that is not supported",
    arguments: [
      ("normalizer", ["type": "Lowercase"], "normalizer"),
      (
        "normalizer", ["type": "Sequence", "normalizers": [["type": "NFC"], ["type": "NFKC"]]],
        "normalizer.normalizers[1]"
      ),
      ("pre_tokenizer", nil, "pre_tokenizer"),
      ("pre_tokenizer", ["type": "Metaspace"], "pre_tokenizer"),
      ("pre_tokenizer", ["type": "ByteLevel", "add_prefix_space": true], "pre_tokenizer.add_prefix_space"),
      ("pre_tokenizer", ["type": "Sequence", "pretokenizers": [["type": "Digits"]]], "pre_tokenizer"),
      (
        "pre_tokenizer",
        [
          "type": "Sequence",
          "pretokenizers": [
            ["type": "Split", "pattern": ["Regex": "\\w+"], "behavior": "Isolated"],
            ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
          ],
        ], "pre_tokenizer.pretokenizers[0].pattern.Regex"
      ),
      ("decoder", ["type": "WordPiece"], "decoder"),
      ("model", ["type": "Unigram", "vocab": []], "model.type"),
      ("model", ["type": "WordPiece", "vocab": [:]], "pre_tokenizer"),
      ("model", ["type": "BPE", "byte_fallback": true], "model.byte_fallback"),
      ("model", ["type": "BPE", "end_of_word_suffix": "</w>"], "model.end_of_word_suffix"),
      ("model", ["type": "BPE", "dropout": 0.1], "model.dropout"),
      (
        "added_tokens", [["id": 0, "content": "<|endoftext|>", "single_word": true]], "added_tokens[0].single_word"
      ),
    ] as [(String, JSON, String)])
  func namesUnsupported(part: String, value: JSON, key: String) throws {
    var json = try learned(.gpt2).json()
    try edit(&json, part) { $0 = value }
    let error = #expect(throws: TokenizationError.self) { try Tokenizer(json: json) }
    guard case .unsupported(key, _, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test("refuses damaged vocabularies and merges, and says which entry")
  func refusesDamage() throws {
    let sound = try learned(.gpt2).json()
    func damaged(_ key: String, _ change: (inout JSON) throws -> Void) throws -> TokenizationError? {
      var json = sound
      try edit(&json, "model") { try edit(&$0, key, change) }
      return #expect(throws: TokenizationError.self) { try Tokenizer(json: json) }
    }
    func vocabulary(_ key: String, _ value: JSON?) throws -> TokenizationError? {
      try damaged("vocab") { vocabulary in
        var object = vocabulary.object ?? JSONObject()
        object[key] = value
        vocabulary = .object(object)
      }
    }
    #expect(try vocabulary("x\u{2603}", 300) == .duplicateID(id: 300, first: token(sound, 300), second: "x\u{2603}"))
    #expect(try vocabulary("xyz", -1) == .idOutOfRange(token: "xyz", id: -1, limit: 1 << 22))
    #expect(try vocabulary("xyz", 4_000_000_000) == .idOutOfRange(token: "xyz", id: 4_000_000_000, limit: 1 << 22))
    #expect(try vocabulary("xyz", "1") != nil)
    #expect(try vocabulary("xyz", 1000.5) != nil)
    #expect(try vocabulary("h", nil) == .mergeOutOfVocabulary(index: 0, merge: firstMerge(sound)))
    #expect(try vocabulary("~", nil) == .missingByte(0x7E))
    #expect(
      try damaged("vocab") { $0 = [] } == .malformed(key: "model.vocab", expected: "an object", found: "an array"))
    #expect(try damaged("merges") { $0 = ["a"] } != nil)
    #expect(try damaged("merges") { $0 = [["a"]] } != nil)
    #expect(try damaged("merges") { $0 = [["a", 1]] } != nil)
    #expect(try damaged("merges") { $0 = ["a b c"] } == .mergeOutOfVocabulary(index: 0, merge: "\"a b c\""))
    #expect(try damaged("merges") { $0 = [" a"] } != nil)
    #expect(try damaged("merges") { $0 = ["a b", "Q Q"] } != nil)
    #expect(try damaged("merges") { $0 = .null } != nil)
    #expect(try damaged("merges") { $0 = ["\u{2603} a"] } != nil)
  }

  private func firstMerge(_ json: JSON) throws -> String {
    try #require(json["model"]?["merges"]?[0]).serialized()
  }

  private func token(_ json: JSON, _ id: Int) throws -> String {
    String(decoding: try #require(try Tokenizer(json: json).token(Int32(id))), as: UTF8.self)
  }

  @Test("ids may have holes")
  func holes() throws {
    var json = try learned(.gpt2).json()
    try edit(&json, "model") { model in
      try edit(&model, "vocab") { vocabulary in
        var spread = JSONObject()
        for (token, id) in vocabulary.object ?? JSONObject() { spread[token] = JSON((id.int ?? 0) * 3) }
        vocabulary = .object(spread)
      }
    }
    let tokenizer = try Tokenizer(json: json)
    #expect(tokenizer.token(1) == nil)
    #expect(tokenizer.decode(tokenizer.encode(sampleText, specialTokens: true)) == sampleText)
  }

  @Test("an added token must not take another token's id, nor differ from the vocabulary's")
  func addedTokenIDs() throws {
    for token in [addedToken(5, "<x>"), addedToken(7, "<|endoftext|>"), ["id": 1000], ["content": "x"], 3] {
      var json = try learned(.gpt2).json()
      try edit(&json, "added_tokens") { $0 = [token] }
      #expect(throws: TokenizationError.self) { try Tokenizer(json: json) }
    }
  }

  @Test("a file cut anywhere is an error, never a crash")
  func truncated() throws {
    let bytes = Array(try learned(.cl100k, size: 260).json().serialized().utf8)
    for length in 0..<bytes.count {
      #expect(throws: TokenizationError.self) { try Tokenizer(jsonBytes: bytes[..<length]) }
    }
  }

  @Test(
    "what is no tokenizer at all is an error",
    arguments: ["", "[]", "3", "null", "{}", "{\"model\":3}", "{\"model\":{}}", "{\"pre_tokenizer\":{\"type\":3}}"])
  func foreign(text: String) {
    #expect(throws: TokenizationError.self) { try Tokenizer(jsonBytes: Array(text.utf8)) }
  }

  @Test("hostile nesting is an error")
  func hostileNesting() {
    let text = "{\"normalizer\":" + String(repeating: "{\"type\":\"Sequence\",\"normalizers\":[", count: 100_000)
    #expect(throws: TokenizationError.self) { try Tokenizer(jsonBytes: Array(text.utf8)) }
  }

  @Test("a missing file is named, with the contract's exit code")
  func missingFile() {
    let error = #expect(throws: TokenizationError.self) { try Tokenizer.load(path: "/nowhere/tokenizer.json") }
    #expect(error?.exitCode == ContractExit.data)
    #expect(error?.description.contains("/nowhere/tokenizer.json") == true)
  }

  @Test("the configuration names the class and the end-of-text token")
  func configuration() throws {
    let json = try learned(.gpt2).configurationJSON(maximumLength: 1024)
    #expect(json["tokenizer_class"]?.string == "PreTrainedTokenizerFast")
    #expect(json["eos_token"]?.string == "<|endoftext|>")
    #expect(json["model_max_length"]?.int == 1024)
    #expect(json["clean_up_tokenization_spaces"]?.bool == false)
  }
}
