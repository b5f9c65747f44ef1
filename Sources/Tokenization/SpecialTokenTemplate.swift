import Formats

extension Tokenizer {
  /// The ids of a text with the special tokens that its model was taught around it, as `[CLS] … [SEP]`: what Hugging Face's
  /// `encode` gives with `add_special_tokens=True`.
  ///
  /// - Throws: ``TokenizationError`` where the `post_processor` of the tokenizer.json can't be followed.
  package func addingSpecialTokens(to ids: [Int32]) throws(TokenizationError) -> [Int32] {
    let templates = try readTemplates(TokenizerField(json()["post_processor"] ?? .null, "post_processor"))
    return templates.reduce(ids) { ids, template in template.flatMap { $0 ?? ids } }
  }

  /// One after the other, each the parts of a text: tokens, or nil for the text itself.
  private func readTemplates(_ field: TokenizerField) throws(TokenizationError) -> [[[Int32]?]] {
    switch try field.typeName() {
    case nil, "ByteLevel":
      return []
    case "Sequence":
      var templates: [[[Int32]?]] = []
      for part in try field.required("processors").elements() { templates += try readTemplates(part) }
      return templates
    case "BertProcessing", "RobertaProcessing":
      return [[[try readPair(field.required("cls"))], nil, [try readPair(field.required("sep"))]]]
    case "TemplateProcessing":
      var parts: [[Int32]?] = []
      for part in try field.required("single").elements() {
        if part.value["Sequence"] != nil { parts.append(nil) } else { parts.append(try readSpecial(part, of: field)) }
      }
      guard parts.count(where: { $0 == nil }) == 1 else {
        throw .unsupported(key: field.path + ".single", found: "a template without one text", supported: "one text")
      }
      return [parts]
    case let name?:
      throw .unsupported(
        key: field.path, found: name,
        supported: "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, or a Sequence of them")
    }
  }

  /// The id of `["[SEP]", 102]`.
  private func readPair(_ field: TokenizerField) throws(TokenizationError) -> Int32 {
    let pair = try field.elements()
    guard pair.count == 2 else {
      throw .malformed(key: field.path, expected: "a token and its id", found: field.value.serialized())
    }
    return try checkedID(pair[1])
  }

  /// The ids of `{"SpecialToken": {"id": "[SEP]"}}`, which the template lists.
  private func readSpecial(_ part: TokenizerField, of template: TokenizerField) throws(TokenizationError) -> [Int32] {
    let name = try part.required("SpecialToken").required("id").string()
    var ids: [Int32] = []
    for id in try template.required("special_tokens").required(name).required("ids").elements() {
      ids.append(try checkedID(id))
    }
    return ids
  }

  private func checkedID(_ field: TokenizerField) throws(TokenizationError) -> Int32 {
    let id = try field.count()
    guard id < vocabularySize else {
      throw .malformed(key: field.path, expected: "an id below \(vocabularySize)", found: "\(id)")
    }
    return Int32(id)
  }
}
