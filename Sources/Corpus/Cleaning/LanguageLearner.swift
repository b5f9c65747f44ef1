import Formats
import Foundation

/// Learns a ``LanguageModel`` from texts whose language is known; some hundred kilobytes of each language are enough.
package struct LanguageLearner {
  private let languages: [String]
  /// (L, bucket): how often each was met.
  private var counts: [[UInt32]]

  /// Of each share so much is the mean of all languages (Jelinek & Mercer, "Interpolated estimation of Markov source
  /// parameters from sparse data", 1980). A sequence that a language was never seen with costs it as much as any other
  /// such: how much text there was of a language doesn't matter, and no word of another one, no name and no rest of
  /// code decides alone.
  private static let meanShare = 0.02

  package init(languages: [String]) {
    self.languages = languages
    counts = Array(repeating: Array(repeating: 0, count: LetterSequences.buckets), count: languages.count)
  }

  /// - Parameter language: its number among all.
  /// - Returns: whether the text has any letters.
  @discardableResult
  package mutating func add(_ text: [UInt8], language: Int) -> Bool {
    let letters = counts[language].withUnsafeMutableBufferPointer { counts in
      text.withUnsafeBytes { bytes in LetterSequences.forEach(in: bytes) { bucket, _ in counts[bucket] &+= 1 } }
    }
    return letters.latin + letters.other > 0
  }

  package func model() -> LanguageModel {
    let totals = counts.map { counts in Double(max(1, counts.reduce(0) { $0 + Int($1) })) }
    var logRatios = [Float](repeating: 0, count: LetterSequences.buckets * languages.count)
    for bucket in 0..<LetterSequences.buckets {
      let shares = zip(counts, totals).map { counts, total in Double(counts[bucket]) / total }
      let mean = shares.reduce(0, +) / Double(shares.count)
      // What no language has speaks for none.
      guard mean > 0 else { continue }
      for (language, share) in shares.enumerated() {
        let ratio = (1 - Self.meanShare) * share / mean + Self.meanShare
        logRatios[bucket * languages.count + language] = Float(log(ratio))
      }
    }
    return LanguageModel(languages: languages, logRatios: logRatios)
  }

  /// Learns from a folder in which each language has a folder of texts of any kind that `prepare` reads, named by its
  /// code.
  ///
  /// - Throws: ``CorpusError``, also for a folder with fewer than two of them.
  package static func learn(from folder: String) throws(CorpusError) -> LanguageModel {
    let names = try withFiles(try FileSystem.names(in: folder)).filter { name in
      !name.hasPrefix(".") && FileSystem.kind(of: Path.join(folder, name)) == .folder
    }
    guard names.count >= 2 else {
      throw .file(
        .content(
          path: folder,
          problem: "expected a folder of texts for each of two or more languages, such as \(Path.join(folder, "en")), "
            + "found \(names.count)"))
    }
    for name in names where name.contains(",") {
      throw .file(.content(path: Path.join(folder, name), problem: "a language's name has no comma; rename the folder"))
    }
    var learner = LanguageLearner(languages: names)
    for (index, name) in names.enumerated() {
      let path = Path.join(folder, name)
      var hasLetters = false
      try DocumentTexts.forEach(in: path) { text in
        if learner.add(text, language: index) { hasLetters = true }
      }
      guard hasLetters else { throw .file(.content(path: path, problem: "has no text to learn a language from")) }
    }
    return learner.model()
  }
}
