package import Formats
import Foundation

/// Tells the language of a text by how often short sequences of characters occur in each: a naive Bayes classifier over
/// sequences of one to four characters, hashed into buckets.
///
/// Cavnar & Trenkle, "N-Gram-Based Text Categorization", SDAIR 1994; the classifier as in Lui & Baldwin, "langid.py",
/// ACL 2012. There are no texts of many languages in this program: it is learned from such as are at hand
/// (`Scripts/learn-languages`) by ``LanguageLearner``.
package struct LanguageModel: Sendable {
  package let languages: [String]
  /// (bucket, L): the logarithm of each bucket's share in a language over its mean share in all.
  private let logRatios: [Float]

  /// Of a longer text only so much is looked at.
  private static let mostBytes = 1 << 14

  /// What a text in none of the languages gets, as a share of the most that a sequence can say. Of 60 characters the
  /// right language gets 0.35 in the median and less than 0.1 in one of 200; the best of 48 for Welsh, Irish, Icelandic
  /// or Xhosa gets less than 0.03 in 19 of 20. Between them, for texts unlike those that were learned from (poems,
  /// chats).
  private static let noneShare = 0.05

  init(languages: [String], logRatios: [Float]) {
    self.languages = languages
    self.logRatios = logRatios
  }

  /// A hash of all that it knows: another model keeps other documents.
  var identity: String {
    var hasher = ContentHasher()
    Array(languages.joined(separator: ",").utf8).withUnsafeBytes { hasher.update($0) }
    logRatios.withUnsafeBytes { hasher.update($0) }
    return hasher.finish().hex
  }

  /// The best language of a text, and how probable it is; nil for a text without letters.
  ///
  /// Only one script is evidence. Texts in Chinese or Russian are full of Latin words, names of commands above all,
  /// those in Latin letters hardly of others: so from one letter in three on it is the other script. Without that,
  /// pages on programs would be English in every language. What is probable is measured against the other languages,
  /// and against none of them.
  package func language(of text: UnsafeRawBufferPointer) -> (name: String, probability: Double)? {
    let count = languages.count
    var scores = [Float](repeating: 0, count: 2 * count)
    var sequences = [0, 0]
    let letters = logRatios.withUnsafeBufferPointer { ratios in
      scores.withUnsafeMutableBufferPointer { scores in
        LetterSequences.forEach(in: UnsafeRawBufferPointer(rebasing: text.prefix(Self.mostBytes))) { bucket, script in
          sequences[script.rawValue] += 1
          let (from, to) = (bucket * count, script.rawValue * count)
          for language in 0..<count { scores[to + language] += ratios[from + language] }
        }
      }
    }
    guard letters.latin + letters.other > 0 else { return nil }
    let script = 2 * letters.other >= letters.latin ? LetterSequences.Script.other : .latin
    let own = scores[script.rawValue * count..<(script.rawValue + 1) * count]
    guard let best = own.indices.max(by: { own[$0] < own[$1] }) else { return nil }
    let none = Float(Self.noneShare * log(Double(count)) * Double(sequences[script.rawValue]))
    // Sequences overlap: four of them say little more than one.
    let total = (own + [none]).reduce(0.0) { $0 + exp(Double($1 - own[best]) / Double(LetterSequences.longest)) }
    return (languages[best - own.startIndex], 1 / total)
  }

  // MARK: Files

  /// - Throws: ``FormatError/unwritable(path:reason:)``.
  package func write(to path: String) throws(FormatError) {
    let writer = try SafetensorsWriter(
      path: path, tensors: [.init(Self.tensor, .float16, [LetterSequences.buckets, languages.count])],
      metadata: [("format", Self.format), ("languages", languages.joined(separator: ","))])
    try writer.append(Self.tensor, logRatios)
    try writer.commit()
  }

  /// - Throws: ``FormatError`` for a file that is no such model.
  package init(path: String) throws(FormatError) {
    let file = try SafetensorsFile(path: path)
    guard file.metadata["format"] == Self.format, let names = file.metadata["languages"]?.split(separator: ","),
      !names.isEmpty
    else {
      throw .content(path: path, problem: "isn't a model of languages; learn one: Scripts/learn-languages")
    }
    languages = names.map(String.init)
    logRatios = try file.floats(Self.tensor)
    guard logRatios.count == LetterSequences.buckets * languages.count, logRatios.allSatisfy(\.isFinite) else {
      throw .content(
        path: path, problem: "is a model of other than \(LetterSequences.buckets) × \(languages.count) finite numbers")
    }
  }

  private static let format = "mayfly-languages"
  private static let tensor = "log_ratios"
}
