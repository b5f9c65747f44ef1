package import Formats

extension Tokenizer {
  /// A new tokenizer and its tokenizer.json.
  ///
  /// - Parameters:
  ///   - tokens: the text of each id, in the byte alphabet (special tokens: as they stand).
  ///   - merges: in order of rank, "left right".
  init(
    tokens: [String], merges: [String], specialTokens: [String], pattern: SplitPattern
  ) throws(TokenizationError) {
    var vocabulary = JSONObject()
    vocabulary.reserveCapacity(tokens.count)
    for (id, token) in tokens.enumerated() { vocabulary[token] = JSON(id) }
    let added = specialTokens.map { content -> JSON in
      [
        "id": vocabulary[content] ?? .null, "content": .string(content), "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true,
      ]
    }
    try self.init(json: [
      "version": "1.0",
      "truncation": nil,
      "padding": nil,
      "added_tokens": .array(added),
      "normalizer": nil,
      "pre_tokenizer": preTokenizerJSON(pattern),
      "post_processor": nil,
      "decoder": byteLevelJSON(cutsWords: true),
      "model": [
        "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": .object(vocabulary),
        "merges": .array(merges.map { .string($0) }),
      ],
    ])
  }

  /// The tokenizer_config.json that lets transformers open the tokenizer.json beside it.
  ///
  /// - Parameter specialTokens: tokens by their roles (bos_token, eos_token, …), as a chat template uses them.
  package func configurationJSON(maximumLength: Int, specialTokens: [String: String] = [:]) -> JSON {
    let endToken: JSON = endOfTextContent.map { .string($0) } ?? .null
    let standard: JSON = [
      "tokenizer_class": "PreTrainedTokenizerFast",
      "bos_token": endToken,
      "eos_token": endToken,
      "unk_token": nil,
      "model_max_length": JSON(maximumLength),
      "clean_up_tokenization_spaces": false,
      "add_prefix_space": false,
    ]
    var configuration = standard.object ?? JSONObject()
    if !isByteLevel {
      // Where the space before the first word comes from, the tokenizer.json says.
      configuration["add_prefix_space"] = nil
      for (role, names) in Self.roles {
        if let name = names.first(where: { id(ofAddedToken: $0) != nil }) { configuration[role] = .string(name) }
      }
    }
    for (role, token) in specialTokens.sorted(by: { $0.key < $1.key }) { configuration[role] = .string(token) }
    return .object(configuration)
  }
}

extension Tokenizer {
  /// What BERT and Llama call the tokens of each role.
  private static let roles: [(role: String, names: [String])] = [
    ("bos_token", ["<s>", "<bos>", "[CLS]"]), ("unk_token", ["<unk>", "[UNK]"]), ("pad_token", ["<pad>", "[PAD]"]),
    ("cls_token", ["[CLS]"]), ("sep_token", ["[SEP]"]), ("mask_token", maskNames),
  ]
}

private func preTokenizerJSON(_ pattern: SplitPattern) -> JSON {
  switch pattern {
  case .gpt2: return byteLevelJSON(cutsWords: true)
  case .none: return byteLevelJSON(cutsWords: false)
  case .cl100k:
    let split: JSON = [
      "type": "Split", "pattern": ["Regex": .string(pattern.regex ?? "")], "behavior": "Isolated", "invert": false,
    ]
    return ["type": "Sequence", "pretokenizers": [split, byteLevelJSON(cutsWords: false)]]
  }
}

private func byteLevelJSON(cutsWords: Bool) -> JSON {
  ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(cutsWords)]
}
