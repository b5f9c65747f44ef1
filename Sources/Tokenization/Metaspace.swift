/// Marks the words of a text with a character for the spaces before them, as SentencePiece does: "▁a▁word".
///
/// Kudo & Richardson, "SentencePiece", arXiv:1808.06226, section 3.2; Hugging Face's pre-tokenizer of that name.
struct Metaspace: Sendable, Equatable {
  /// Which texts get a mark before their first word.
  enum Prefix: String, Sendable {
    case first, always, never
  }

  /// "▁", U+2581.
  static let usualMark: [UInt8] = Array("\u{2581}".utf8)

  var mark = Self.usualMark
  var prefix = Prefix.always
  /// Whether each mark begins a word; else a text is one.
  var cutsWords = true

  /// A text with its marks.
  ///
  /// - Parameter isStart: whether it begins a text or follows an added token.
  func marked(_ text: UnsafeRawBufferPointer, isStart: Bool) -> [UInt8] {
    let replaced = replacing([0x20], with: mark, in: text) ?? Array(text)
    let wantsMark =
      switch prefix {
      case .first: isStart
      case .always: true
      case .never: false
      }
    return wantsMark && !replaced.starts(with: mark) ? mark + replaced : replaced
  }

  /// The parts of a text that each begin with a mark, but for the first.
  static func forEachPart(
    of text: UnsafeRawBufferPointer, mark: [UInt8], togetherIfRun: Bool, _ body: (UnsafeRawBufferPointer) -> Void
  ) {
    guard let lead = mark.first else { return }
    var start = 0
    var place = 0
    /// Where a mark ends that lies directly before `place`.
    var lastEnd = -1
    while place < text.count {
      guard text[place] == lead, text[place...].starts(with: mark) else {
        place += 1
        continue
      }
      if place > start, !(togetherIfRun && lastEnd == place) {
        body(UnsafeRawBufferPointer(rebasing: text[start..<place]))
        start = place
      }
      place += mark.count
      lastEnd = place
    }
    if start < text.count { body(UnsafeRawBufferPointer(rebasing: text[start...])) }
  }
}
