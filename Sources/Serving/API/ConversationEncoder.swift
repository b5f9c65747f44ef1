package import Tokenization

/// Turns a conversation into ids. What looks like a special token is one only where the template wrote it: a user who
/// writes `<|endoftext|>` ends nothing.
package struct ConversationEncoder {
  private let tokenizer: Tokenizer
  private let specials: [AddedToken]
  private let specialFinder: PatternFinder

  package init(_ tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    specials = tokenizer.addedTokens.filter { $0.special && !$0.content.isEmpty }
    specialFinder = PatternFinder(specials.map { Array($0.content.utf8) })
  }

  /// The conversation's ids, up to where the next answer begins.
  package func encode(
    _ messages: [ChatMessage], _ template: ChatTemplate, endOfText: String
  ) throws(TokenizationError) -> [Int32] {
    // What looks special in a message becomes a mark that nobody can guess, and text again once the template has run.
    let nonce = String(UInt64.random(in: 0...UInt64.max), radix: 36)
    let marks = specials.indices.map { Array("\u{E000}\(nonce).\($0)\u{E001}".utf8) }
    let masked = messages.map { ChatMessage(role: mask($0.role, marks), content: mask($0.content, marks)) }
    let text = try template.render(masked, addGenerationPrompt: true, endOfText: endOfText)
    if masked == messages { return tokenizer.encode(text, specialTokens: true) }

    let markFinder = PatternFinder(marks)
    var ids: [Int32] = []
    for piece in specialFinder.pieces(of: Array(text.utf8)) {
      switch piece {
      case .pattern(let index): ids.append(specials[index].id)
      case .plain(let bytes):
        let restored = markFinder.replacing(in: Array(bytes)) { Array(specials[$0].content.utf8) }
        ids += tokenizer.encode(restored, specialTokens: false)
      }
    }
    return ids
  }

  private func mask(_ text: String, _ marks: [[UInt8]]) -> String {
    String(decoding: specialFinder.replacing(in: Array(text.utf8)) { marks[$0] }, as: UTF8.self)
  }
}

/// Finds patterns in bytes: the leftmost, and of those that start together the longest.
struct PatternFinder {
  enum Piece {
    case plain(ArraySlice<UInt8>)
    case pattern(Int)
  }

  /// Indices of the patterns that begin with a byte, the longest first.
  private var candidates: [[Int]] = Array(repeating: [], count: 256)
  private let patterns: [[UInt8]]

  init(_ patterns: [[UInt8]]) {
    self.patterns = patterns
    for index in patterns.indices.sorted(by: { patterns[$0].count > patterns[$1].count }) {
      if let first = patterns[index].first { candidates[Int(first)].append(index) }
    }
  }

  func pieces(of bytes: [UInt8]) -> [Piece] {
    var pieces: [Piece] = []
    var (start, place) = (0, 0)
    while place < bytes.count {
      guard let found = candidates[Int(bytes[place])].first(where: { bytes[place...].starts(with: patterns[$0]) })
      else {
        place += 1
        continue
      }
      if start < place { pieces.append(.plain(bytes[start..<place])) }
      pieces.append(.pattern(found))
      place += patterns[found].count
      start = place
    }
    if start < bytes.count { pieces.append(.plain(bytes[start...])) }
    return pieces
  }

  func replacing(in bytes: [UInt8], _ replacement: (Int) -> [UInt8]) -> [UInt8] {
    pieces(of: bytes).flatMap { piece in
      switch piece {
      case .plain(let bytes): Array(bytes)
      case .pattern(let index): replacement(index)
      }
    }
  }
}
