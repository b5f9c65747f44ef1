import Formats

/// The shares of the validation and the test split; the rest is for training.
package struct SplitFractions: Equatable, Sendable {
  package let val: Double
  package let test: Double

  package init(val: Double, test: Double) throws(CorpusError) {
    for (name, value) in [("--val-fraction", val), ("--test-fraction", test)] {
      guard value >= 0, value < 1 else {
        throw .setting(name: name, value: "\(value)", expected: "a number from 0 up to, not including, 1")
      }
    }
    guard val + test < 1 else {
      throw .setting(
        name: "--val-fraction plus --test-fraction", value: "\(val + test)",
        expected: "less than 1, so that something is left to train on")
    }
    self.val = val
    self.test = test
  }

  /// The splits that are asked for.
  package var wanted: [Split] {
    Split.allCases.filter { split in
      switch split {
      case .train: true
      case .val: val > 0
      case .test: test > 0
      }
    }
  }
}

/// Which split a document, or a part of it, belongs to.
struct SplitRule {
  enum Method: String {
    /// By each document's hash; documents over 1 MiB by blocks.
    case hash
    /// The whole corpus by blocks: train, then val, then test.
    case contiguous
  }

  struct Part {
    let split: Split
    let range: Range<Int>
  }

  let fractions: SplitFractions
  /// Another one gives another split of documents; with 0 it is by the hashes alone.
  var seed: UInt64 = 0
  /// The bytes of all documents together.
  var corpusBytes = 0
  var method = Method.hash

  /// Documents above this are split by blocks: a single book would otherwise be in one split as a whole.
  static let largestWhole = 1 << 20

  /// The split of a document by its hash, as a number in [0, 1): first val's share, then test's, then train's.
  ///
  /// It depends on nothing else but the seed, so that it never changes when other documents come or go.
  func split(of hash: ContentHash) -> Split {
    let place = seed == 0 ? hash.fraction : Double(scrambled(hash.words[0] ^ scrambled(seed)) >> 11) * 0x1p-53
    if place < fractions.val { return .val }
    if place < fractions.val + fractions.test { return .test }
    return .train
  }

  static func isLarge(_ length: Int) -> Bool { length > largestWhole }

  /// The parts of a document, in its order; none is empty.
  ///
  /// - Parameter start: where it begins in a text of all documents.
  func parts(of document: ArraySlice<UInt8>, hash: ContentHash, start: Int) -> [Part] {
    let total: Int
    let first: Int
    switch method {
    case .contiguous: (total, first) = (corpusBytes, start)
    case .hash where Self.isLarge(document.count): (total, first) = (document.count, 0)
    case .hash: return [Part(split: split(of: hash), range: 0..<document.count)]
    }
    // No cut is moved by more than a third of the smallest part, so that none of them vanishes.
    let smallest = fractions.wanted.map { share(of: $0) }.min() ?? 1
    let window = min(Int(Double(total) * smallest / 3), 1 << 16)
    let trainEnd = total - Int((Double(total) * (fractions.val + fractions.test)).rounded())
    let valEnd = total - Int((Double(total) * fractions.test).rounded())
    return document.withUnsafeBufferPointer { bytes in
      let trainCut = Self.cut(bytes, near: trainEnd - first, window: window)
      let valCut = max(trainCut, Self.cut(bytes, near: valEnd - first, window: window))
      return [
        Part(split: .train, range: 0..<trainCut), Part(split: .val, range: trainCut..<valCut),
        Part(split: .test, range: valCut..<bytes.count),
      ].filter { !$0.range.isEmpty }
    }
  }

  private func share(of split: Split) -> Double {
    switch split {
    case .train: 1 - fractions.val - fractions.test
    case .val: fractions.val
    case .test: fractions.test
    }
  }

  /// The place to cut a text: the line end nearest to `target` within the window (the text's own ends count as such),
  /// else the nearest space, else the nearest character.
  private static func cut(_ bytes: UnsafeBufferPointer<UInt8>, near target: Int, window: Int) -> Int {
    if target <= 0 { return 0 }
    if target >= bytes.count { return bytes.count }
    let reach = max(target - window, 0)...min(target + window, bytes.count)
    func nearest(_ isCut: (Int) -> Bool) -> Int? {
      let before = stride(from: target, through: reach.lowerBound, by: -1).first(where: isCut)
      let behind = stride(from: target, through: reach.upperBound, by: 1).first(where: isCut)
      guard let before, let behind else { return before ?? behind }
      return target - before <= behind - target ? before : behind
    }
    let lineEnd = nearest { $0 == 0 || $0 == bytes.count || bytes[$0 - 1] == UInt8(ascii: "\n") }
    let place = lineEnd ?? nearest { $0 > 0 && bytes[$0 - 1] == UInt8(ascii: " ") } ?? target
    // Bytes 10xxxxxx go on with a character.
    var character = place
    while character < bytes.count, bytes[character] & 0xC0 == 0x80 { character += 1 }
    return character
  }
}
