/// What a tokenizer does to text before it looks for words: the `normalizer` of its tokenizer.json, step by step.
struct TextNormalizer: Sendable {
  enum Step: Sendable, Equatable {
    /// Unicode's canonical composed form.
    case nfc
    /// Puts something before a text that isn't empty.
    case prepend([UInt8])
    /// Replaces all places of a pattern, which has at least one byte.
    case replace([UInt8], with: [UInt8])
    case bert(BertNormalizer)
  }

  let steps: [Step]

  init(_ steps: [Step]) { self.steps = steps }

  /// Whether all spaces are replaced.
  var leavesNoSpace: Bool {
    steps.contains { step in
      if case .replace([0x20], let replacement) = step { !replacement.contains(0x20) } else { false }
    }
  }

  /// The normalized text; nil where it is known to be the same.
  func normalized(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    var result: [UInt8]?
    for step in steps {
      if let next = result.map({ $0.withUnsafeBytes { step.applied(to: $0) } }) ?? step.applied(to: text) {
        result = next
      }
    }
    return result
  }

  func normalized(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBytes { normalized($0) } ?? bytes
  }
}

extension TextNormalizer.Step {
  fileprivate func applied(to text: UnsafeRawBufferPointer) -> [UInt8]? {
    switch self {
    case .nfc: normalizedToNFC(text)
    case .prepend(let prefix): text.isEmpty ? nil : prefix + text
    case .replace(let pattern, let replacement): replacing(pattern, with: replacement, in: text)
    case .bert(let normalizer): normalizer.normalized(text)
    }
  }
}

/// A text with another one in all places of a pattern, from left to right; nil if there is none.
func replacing(_ pattern: [UInt8], with replacement: [UInt8], in text: some RandomAccessCollection<UInt8>) -> [UInt8]? {
  guard let first = pattern.first, text.contains(first) else { return nil }
  var result: [UInt8] = []
  result.reserveCapacity(text.count * 2)
  var rest = text[...]
  while let byte = rest.first {
    if byte == first, rest.starts(with: pattern) {
      result += replacement
      rest = rest.dropFirst(pattern.count)
    } else {
      result.append(byte)
      rest = rest.dropFirst()
    }
  }
  return result
}
