package import Formats

/// A conversation as tokens.
package struct ChatEncoding: Sendable, Equatable {
  package var ids: [Int32] = []
  /// Whether each token is one that the model learns to say.
  package var isLearned: [Bool] = []
}

extension ChatTemplate {
  /// A conversation as tokens: the one way for training and serving.
  ///
  /// Special tokens that the template writes become their ids; in messages they are text. What is learned: what the
  /// template marks by `{% generation %}`, else what each assistant's message adds to the text before with the prompt
  /// for an answer, up to the token that ends the turn.
  ///
  /// - Parameters:
  ///   - learnsAnswers: whether answers are marked; else nothing is.
  ///   - variables: more that the template may use, such as tools.
  /// - Throws: ``TokenizationError/template(line:problem:)``, ``TokenizationError/refused(_:)``,
  ///   ``TokenizationError/unclearAnswer(message:)``.
  package func encode(
    _ messages: [JSON], tokenizer: Tokenizer, addGenerationPrompt: Bool, learnsAnswers: Bool = false,
    variables: JSONObject = JSONObject()
  ) throws(TokenizationError) -> ChatEncoding {
    let special = tokenizer.addedTokens.filter(\.special)
    let marks = LiteralMarks(special, in: .array(messages + [.object(variables)]))
    let messages = messages.map(marks.marked)
    let variables = try self.variables(
      marks.marked(.object(variables)).object ?? JSONObject(), endOfText: tokenizer.endOfTextContent ?? "")
    let rendered = try run(messages, addGenerationPrompt, variables)
    var learned: [Range<Int>] = []
    if learnsAnswers {
      learned =
        try marksAnswers
        ? rendered.generated : answers(in: rendered.text, messages, variables, special: special)
    }
    return ChatText(rendered.text, learned: learned, marks: marks).encoded(tokenizer, special: special)
  }

  package func encode(
    _ messages: [ChatMessage], tokenizer: Tokenizer, addGenerationPrompt: Bool, learnsAnswers: Bool = false
  ) throws(TokenizationError) -> ChatEncoding {
    try encode(
      messages.map(\.json), tokenizer: tokenizer, addGenerationPrompt: addGenerationPrompt,
      learnsAnswers: learnsAnswers)
  }

  /// What each assistant's message adds, in code points.
  private func answers(
    in text: JinjaText, _ messages: [JSON], _ variables: [String: JinjaValue], special: [AddedToken]
  ) throws(TokenizationError) -> [Range<Int>] {
    var answers: [Range<Int>] = []
    for (index, message) in messages.enumerated() where message["role"]?.string == "assistant" {
      // A template that refuses a part of a conversation doesn't tell either.
      guard let before = try? run(messages[..<index], true, variables).text,
        let with = try? run(messages[...index], false, variables).text
      else { throw .unclearAnswer(message: index + 1) }
      guard text.starts(with: with), with.starts(with: before), with.count > before.count else {
        throw .unclearAnswer(message: index + 1)
      }
      // Whitespace behind the token that ends the turn is nothing that the model has to say.
      let end = with.stripped(left: false).count
      let endsTurn = special.contains { with[..<end].reversed().starts(with: JinjaText($0.content).reversed()) }
      answers.append(before.count..<(endsTurn && end > before.count ? end : with.count))
    }
    return answers
  }
}

/// Keeps special tokens in messages text: the first character of each is replaced by one that stands for it and that
/// the messages don't have, until the text is cut into tokens.
struct LiteralMarks {
  private let tokens: [JinjaText]
  private var marks: [Unicode.Scalar: Unicode.Scalar] = [:]
  private var originals: [Unicode.Scalar: Unicode.Scalar] = [:]

  /// Characters that no text should have: Unicode keeps them for programs' own use.
  private static let candidates: [Unicode.Scalar] = (0xFDD0...0xFDEF).compactMap { Unicode.Scalar($0 as UInt32) }

  init(_ special: [AddedToken], in messages: JSON) {
    tokens = special.map { JinjaText($0.content) }.filter { !$0.isEmpty }.sorted { $0.count > $1.count }
    let taken = Set(messages.serialized().unicodeScalars)
    var free = Self.candidates.lazy.filter { !taken.contains($0) }.makeIterator()
    for first in Set(tokens.compactMap(\.first)) {
      guard let mark = free.next() else { break }
      marks[first] = mark
      originals[mark] = first
    }
  }

  func marked(_ json: JSON) -> JSON {
    switch json {
    case .string(let string): return .string(marked(string))
    case .array(let values): return .array(values.map(marked))
    case .object(let object):
      var result = JSONObject()
      for (key, value) in object { result[key] = marked(value) }
      return .object(result)
    default: return json
    }
  }

  private func marked(_ string: String) -> String {
    var text = JinjaText(string)
    for place in text.indices {
      guard let mark = marks[text[place]], tokens.contains(where: { text.has($0, at: place) }) else { continue }
      text[place] = mark
    }
    return text.string
  }

  func restored(_ text: ArraySlice<Unicode.Scalar>) -> [UInt8] {
    Array(JinjaText(text.map { originals[$0] ?? $0 }).string.utf8)
  }
}

/// A rendered conversation on its way to tokens.
private struct ChatText {
  let text: JinjaText
  let learned: [Range<Int>]
  let marks: LiteralMarks

  init(_ text: JinjaText, learned: [Range<Int>], marks: LiteralMarks) {
    (self.text, self.learned, self.marks) = (text, learned, marks)
  }

  /// Special tokens are found first: between them, text is text.
  func encoded(_ tokenizer: Tokenizer, special: [AddedToken]) -> ChatEncoding {
    let encoder = Encoder(tokenizer)
    let finder = AddedTokenFinder(special)
    var encoding = ChatEncoding()
    let bytes = Array(text.string.utf8)
    var (done, scalars) = (0, 0)
    func scalarCount(_ range: Range<Int>) -> Int { bytes[range].lazy.filter { $0 & 0xC0 != 0x80 }.count }
    bytes.withUnsafeBytes { bytes in
      while done < bytes.count {
        let match = finder.firstMatch(in: bytes, from: done, taken: done, specialTokens: true)
        let end = scalars + scalarCount(done..<(match?.range.lowerBound ?? bytes.count))
        append(scalars..<end, to: &encoding, encoder, tokenizer)
        guard let match else { break }
        scalars = end + scalarCount(match.range)
        encoding.ids.append(match.id)
        encoding.isLearned.append(learned.contains { $0.overlaps(end..<scalars) })
        done = match.range.upperBound
      }
    }
    return encoding
  }

  /// Appends the tokens of a piece; one is learned if any part of it is.
  private func append(_ piece: Range<Int>, to encoding: inout ChatEncoding, _ encoder: Encoder, _ tokenizer: Tokenizer)
  {
    guard !piece.isEmpty else { return }
    let ids = encoder.encode(marks.restored(text[piece]), specialTokens: false)
    encoding.ids += ids
    var ranges: [Range<Int>] = []
    for range in learned where range.overlaps(piece) {
      let inside = range.clamped(to: piece)
      let start = tokenizer.normalizedCount(marks.restored(text[piece.lowerBound..<inside.lowerBound]))
      ranges.append(
        start..<max(start, tokenizer.normalizedCount(marks.restored(text[piece.lowerBound..<inside.upperBound]))))
    }
    var place = 0
    for id in ids {
      let end = place + tokenizer.byteCount(id)
      encoding.isLearned.append(ranges.contains { $0.overlaps(place..<end) })
      place = end
    }
  }
}

extension Tokenizer {
  /// The text of the token that ends a document.
  package var endOfTextContent: String? {
    endOfText.flatMap { id in addedTokens.first { $0.id == id }?.content }
  }

  /// How many bytes the tokens of a text stand for.
  fileprivate func normalizedCount(_ text: [UInt8]) -> Int {
    guard case .byteLevel = model.kind else {
      return encode(text, specialTokens: false).reduce(0) { $0 + byteCount($1) }
    }
    return text.withUnsafeBytes { model.normalizer.normalized($0)?.count } ?? text.count
  }
}
