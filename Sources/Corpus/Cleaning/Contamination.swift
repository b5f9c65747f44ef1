/// Finds documents that have been copied from an evaluation set: that share a sequence of 13 words with it.
///
/// Brown et al., "Language Models are Few-Shot Learners", arXiv:2005.14165, appendix C. A shorter example counts as a whole from
/// eight words on.
struct Contamination: Sendable {
  private static let words = 13
  private static let fewest = 8

  private var sequences: Set<UInt64> = []
  /// How many words sequences have that are shorter.
  private var lengths: Set<Int> = []

  init(_ texts: [[UInt8]]) {
    var words = DocumentWords()
    for text in texts {
      text.withUnsafeBytes { words.find(in: $0) }
      let length = min(Self.words, words.words.count)
      guard length >= Self.fewest else { continue }
      lengths.insert(length)
      DocumentWords.forEachSequence(of: words.words, length) { sequences.insert($0 &+ UInt64(length)) }
    }
  }

  var isEmpty: Bool { sequences.isEmpty }

  func touches(_ words: [DocumentWords.Word]) -> Bool {
    var found = false
    for length in lengths where !found {
      DocumentWords.forEachSequence(of: words, length) {
        if sequences.contains($0 &+ UInt64(length)) { found = true }
      }
    }
    return found
  }
}
