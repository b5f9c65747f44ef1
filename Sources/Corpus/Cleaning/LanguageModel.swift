package import Formats
import Foundation

/// Tells the language of a text by how often short sequences of characters occur in each: a naive Bayes classifier over
/// sequences of one to four characters, hashed into buckets.
///
/// Cavnar & Trenkle, "N-Gram-Based Text Categorization", SDAIR 1994; the classifier as in Lui & Baldwin, "langid.py", ACL 2012.
/// There are no texts of many languages in this program: it is learned from such as are at hand (`Scripts/learn-languages`).
package struct LanguageModel: Sendable {
  package let languages: [String]
  /// (bucket, L): the logarithm of each bucket's share in a language, as Float, buckets of a language beside each other.
  private let logShares: [Float]

  private static let buckets = 1 << 17
  private static let longest = 4
  /// Of a longer text only so much is looked at.
  private static let mostBytes = 1 << 14

  /// The best language of a text, and how probable it is among those that are known; nil for a text without letters.
  package func language(of text: UnsafeRawBufferPointer) -> (name: String, probability: Double)? {
    let count = languages.count
    var scores = [Float](repeating: 0, count: count)
    var sequences = 0
    Self.forEachSequence(in: UnsafeRawBufferPointer(rebasing: text.prefix(Self.mostBytes))) { bucket in
      sequences += 1
      for language in 0..<count { scores[language] += logShares[bucket * count + language] }
    }
    guard sequences > 0, let best = scores.indices.max(by: { scores[$0] < scores[$1] }) else { return nil }
    // Sequences overlap: four of them say little more than one.
    let total = scores.reduce(0.0) { $0 + exp(Double($1 - scores[best]) / Double(Self.longest)) }
    return (languages[best], 1 / total)
  }

  // MARK: Learning

  /// - Parameter texts: of each language; some hundred kilobytes of each are enough.
  package init(learningFrom texts: [(language: String, text: [UInt8])]) {
    languages = texts.map(\.language)
    var logShares = [Float](repeating: 0, count: Self.buckets * texts.count)
    for (index, entry) in texts.enumerated() {
      var counts = [Int](repeating: 0, count: Self.buckets)
      var total = 0
      entry.text.withUnsafeBytes { bytes in
        Self.forEachSequence(in: bytes) { bucket in
          counts[bucket] += 1
          total += 1
        }
      }
      // What was never seen is rare, but not impossible.
      let smoothing = 0.5
      let all = Double(total) + smoothing * Double(Self.buckets)
      for (bucket, count) in counts.enumerated() {
        logShares[bucket * texts.count + index] = Float(log((Double(count) + smoothing) / all))
      }
    }
    self.logShares = logShares
  }

  // MARK: Files

  package func write(to path: String) throws(FormatError) {
    let writer = try SafetensorsWriter(
      path: path, tensors: [.init(Self.tensor, .float16, [Self.buckets, languages.count])],
      metadata: [("format", Self.format), ("languages", languages.joined(separator: ","))])
    try writer.append(Self.tensor, logShares)
    try writer.commit()
  }

  package init(path: String) throws(FormatError) {
    let file = try SafetensorsFile(path: path)
    guard file.metadata["format"] == Self.format, let names = file.metadata["languages"]?.split(separator: ","),
      !names.isEmpty
    else {
      throw .content(path: path, problem: "isn't a model of languages; learn one: Scripts/learn-languages")
    }
    languages = names.map(String.init)
    logShares = try file.floats(Self.tensor)
    guard logShares.count == Self.buckets * languages.count, logShares.allSatisfy(\.isFinite) else {
      throw .content(
        path: path, problem: "is a model of other than \(Self.buckets) × \(languages.count) finite numbers")
    }
  }

  private static let format = "mayfly-languages"
  private static let tensor = "log_shares"

  // MARK: Sequences

  /// The buckets of all sequences of letters, in lower case, words set off by spaces.
  @inline(__always)
  private static func forEachSequence(in text: UnsafeRawBufferPointer, _ body: (Int) -> Void) {
    // The last characters, the newest in the lowest bits (21 bits each hold a scalar).
    var recent: (UInt32, UInt32, UInt32) = (0x20, 0, 0)
    var known = 1
    func add(_ scalar: UInt32) {
      var hash = UInt64(scalar) &* 0x9E37_79B9_7F4A_7C15
      body(bucket(hash, 1))
      for (length, before) in [(2, recent.0), (3, recent.1), (4, recent.2)] where known >= length - 1 {
        hash = (hash ^ UInt64(before)) &* 0xBF58_476D_1CE4_E5B9
        hash ^= hash >> 31
        body(bucket(hash, length))
      }
      recent = (scalar, recent.0, recent.1)
      known = min(known + 1, longest - 1)
    }
    var place = 0
    var isInWord = false
    while place < text.count {
      let byte = text[place]
      var scalar = UInt32(byte | 0x20)
      var width = 1
      var isLetter = scalar &- 0x61 < 26
      if byte >= 0x80 {
        (scalar, width) = DocumentWords.scalar(text, at: place)
        isLetter = DocumentWords.isLetter(scalar)
        scalar = DocumentWords.folded(scalar)
      }
      place += width
      if isLetter {
        add(scalar)
        isInWord = true
      } else if isInWord {
        add(0x20)
        isInWord = false
      }
    }
    if isInWord { add(0x20) }
  }

  @inline(__always)
  private static func bucket(_ hash: UInt64, _ length: Int) -> Int {
    Int(truncatingIfNeeded: ((hash &+ UInt64(length)) &* 0x94D0_49BB_1331_11EB) >> 47)
  }
}
