import Formats

extension TokenDecoding {
  /// The decoder of a tokenizer.json whose tokens are characters, not bytes.
  init(decoder field: TokenizerField) throws(TokenizationError) {
    self.init(field.isNull ? [.spaced] : try readDecoder(field))
    let fuse = steps.firstIndex(of: .fuse) ?? steps.count
    for step in steps[fuse...] {
      switch step {
      case .fuse, .strip: continue
      default:
        throw .unsupported(key: field.path, found: "a step that changes fused tokens", supported: "Strip behind Fuse")
      }
    }
    try refuseGrowth(
      steps.map { step in
        guard case .replace(let pattern, let replacement) = step else { return 1 }
        return (replacement.count + pattern.count - 1) / pattern.count
      }, field)
    guard steps.count(where: { $0 == .byteFallback }) <= 1 else {
      throw .unsupported(key: field.path, found: "ByteFallback twice", supported: "ByteFallback once")
    }
  }
}

private func readDecoder(_ field: TokenizerField) throws(TokenizationError) -> [TokenDecoding.Step] {
  switch try field.typeName() {
  case "Sequence":
    var steps: [TokenDecoding.Step] = []
    for step in try field.required("decoders").elements() { steps += try readDecoder(step) }
    return steps
  case "Replace":
    let content = try field.required("content").string()
    return [.replace(Array(try readPlainPattern(field).utf8), with: Array(content.utf8))]
  case "ByteFallback": return [.byteFallback]
  case "Fuse": return [.fuse]
  case "Strip": return [try readStrip(field)]
  case "Metaspace":
    let mark = Array(try readCharacter(field.required("replacement")).utf8)
    return [.metaspace(mark: mark, dropsFirst: try readPrefix(field) != .never)]
  case "WordPiece":
    let prefix = Array(try field.required("prefix").string().utf8)
    return [.wordPiece(prefix: prefix, tidies: try field.at("cleanup").bool(default: true))]
  case let name:
    throw .unsupported(
      key: field.path, found: name ?? "null",
      supported: "Replace, ByteFallback, Fuse, Strip, Metaspace, WordPiece, or a Sequence of them")
  }
}

private func readStrip(_ field: TokenizerField) throws(TokenizationError) -> TokenDecoding.Step {
  let content = Array(try readCharacter(field.required("content")).utf8)
  let start = try field.required("start").count()
  let stop = field.at("stop")
  if !stop.isNull, try stop.count() != 0 {
    throw .unsupported(key: stop.path, found: stop.value.serialized(), supported: "0")
  }
  return .strip(content, count: start)
}
