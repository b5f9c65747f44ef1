import Formats

/// The token that hides another one from a model that is to fill it in.
extension Tokenizer {
  /// The names under which tokenizers have it; the first one that is there counts. The last is ours.
  package static let maskNames = ["[MASK]", "<mask>", "<|mask|>"]

  /// The id of the mask; nil where the tokenizer has none.
  package var maskToken: Int32? {
    Self.maskNames.lazy.compactMap { id(ofAddedToken: $0) }.first
  }

  /// The same tokenizer with a mask: its own, or `<|mask|>` behind all other ids.
  ///
  /// - Throws: ``TokenizationError`` where the tokenizer.json has no room for it.
  package func withMaskToken() throws(TokenizationError) -> Tokenizer {
    if maskToken != nil { return self }
    let name = Self.maskNames[Self.maskNames.count - 1]
    let id = JSON(vocabularySize)
    var file = json().object ?? JSONObject()
    var model = file["model"]?.object ?? JSONObject()
    var vocabulary = model["vocab"]?.object ?? JSONObject()
    // In both places, so that Hugging Face's tokenizers gives it this id, too.
    vocabulary[name] = id
    model["vocab"] = .object(vocabulary)
    file["model"] = .object(model)
    file["added_tokens"] = .array(
      (file["added_tokens"]?.array ?? []) + [
        [
          "id": id, "content": .string(name), "single_word": false, "lstrip": false, "rstrip": false,
          "normalized": false, "special": true,
        ]
      ])
    return try Tokenizer(json: .object(file))
  }
}
