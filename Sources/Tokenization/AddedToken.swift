/// A token that is found in the text as it stands, before words are cut: `<|endoftext|>`, `<|im_start|>`, …
package struct AddedToken: Sendable, Equatable {
  package var id: Int32
  package var content: String
  /// Takes the whitespace before it, or behind it, along.
  package var takesSpaceBefore = false
  package var takesSpaceBehind = false
  /// Looked for in the normalized text, after the others.
  package var normalized = false
  /// A control token: left out of decoded text when asked, and no token but text when special tokens are not allowed.
  package var special = true

  package init(id: Int32, content: String) {
    self.id = id
    self.content = content
  }
}

/// Finds added tokens in text: the leftmost, and of those that start together the longest.
struct AddedTokenFinder: Sendable {
  struct Match {
    var id: Int32
    /// The token with the whitespace that it takes along.
    var range: Range<Int>
    /// Where the token itself ends, and the search goes on.
    var end: Int
  }

  private let tokens: [(bytes: [UInt8], token: AddedToken)]
  /// For each first byte, where its tokens start in `tokens`; they are sorted by first byte, the longest first.
  private let starts: [Int]

  /// - Parameter normalizer: of the text that is searched; the tokens are looked for as it writes them.
  init(_ added: [AddedToken], normalizer: TextNormalizer = TextNormalizer([])) {
    let sorted = added.map { (bytes: normalizer.normalized($0.content), token: $0) }
      .filter { !$0.bytes.isEmpty }
      .sorted { ($0.bytes[0], $1.bytes.count) < ($1.bytes[0], $0.bytes.count) }
    tokens = sorted
    starts = (0...256).map { first in sorted.firstIndex { Int($0.bytes[0]) >= first } ?? sorted.count }
  }

  /// Hands over the tokens of a text and what lies between them, in order; empty texts are left out.
  ///
  /// - Parameter text: is told whether its text is the start of the whole.
  @inline(__always)
  func split(
    _ whole: UnsafeRawBufferPointer, specialTokens: Bool, token: (Int32) -> Void,
    text: (UnsafeRawBufferPointer, _ isStart: Bool) -> Void
  ) {
    var done = 0
    if !tokens.isEmpty {
      var start = 0
      while let match = firstMatch(in: whole, from: start, taken: done, specialTokens: specialTokens) {
        if done < match.range.lowerBound {
          text(UnsafeRawBufferPointer(rebasing: whole[done..<match.range.lowerBound]), done == 0)
        }
        token(match.id)
        // Whitespace that a token took along may be a token again: Hugging Face's goes back to it, too.
        done = match.range.upperBound
        start = match.end
      }
    }
    if done < whole.count { text(UnsafeRawBufferPointer(rebasing: whole[done...]), done == 0) }
  }

  /// The first match at or after `start`. What is special counts as text where `specialTokens` is false.
  ///
  /// - Parameter taken: the end of the match before, whose bytes a token cannot take as its whitespace.
  func firstMatch(
    in text: UnsafeRawBufferPointer, from start: Int, taken: Int, specialTokens: Bool
  ) -> Match? {
    var place = start
    while place < text.count {
      let first = Int(text[place])
      guard starts[first] < starts[first + 1] else {
        place += 1
        continue
      }
      guard let found = tokens[starts[first]..<starts[first + 1]].first(where: { hasToken($0.bytes, text, place) })
      else {
        place += 1
        continue
      }
      let end = place + found.bytes.count
      if found.token.special, !specialTokens {
        // The text is not searched again for a shorter token inside: Hugging Face's goes on behind it, too.
        place = end
        continue
      }
      let before = found.token.takesSpaceBefore ? max(spaceStart(text, end: place), taken) : place
      let behind = found.token.takesSpaceBehind ? spaceEnd(text, start: end) : end
      return Match(id: found.token.id, range: min(before, behind)..<behind, end: end)
    }
    return nil
  }

  private func hasToken(_ token: [UInt8], _ text: UnsafeRawBufferPointer, _ place: Int) -> Bool {
    place + token.count <= text.count && text[place..<place + token.count].elementsEqual(token)
  }

  private func spaceEnd(_ text: UnsafeRawBufferPointer, start: Int) -> Int {
    var place = start
    while place < text.count {
      let width = spaceWidth(text, place)
      if width == 0 { break }
      place += width
    }
    return place
  }

  private func spaceStart(_ text: UnsafeRawBufferPointer, end: Int) -> Int {
    var place = end
    search: while place > 0 {
      for width in 1...3 where place >= width && spaceWidth(text, place - width) == width {
        place -= width
        continue search
      }
      break
    }
    return place
  }

  /// The bytes of the whitespace character at `place`, 0 if there is none.
  private func spaceWidth(_ text: UnsafeRawBufferPointer, _ place: Int) -> Int {
    let (kind, width) = WordScanner(text).character(at: place)
    return kind == .space ? width : 0
  }
}
