import CText

/// What tells near duplicates: the least hashes of a document's sequences of five words, and the keys by which those of
/// documents that may be alike are brought together.
///
/// Broder, "On the resemblance and containment of documents", SEQUENCES 1997. Bands: Leskovec, Rajaraman, Ullman, "Mining of
/// Massive Datasets", section 3.4: documents of similarity s share one of b bands of r hashes with probability 1 − (1 − sʳ)ᵇ.
struct MinHashSignature: Equatable, Sendable {
  /// Words of a sequence.
  static let shingle = 5
  static let hashes = Int(MF_MIN_HASHES)
  /// At a similarity of 0.8, 0.998 of pairs share one; at 0.5, 0.28.
  static let bands = 21
  static let bandHashes = 6
  /// Similar enough: with 128 hashes the estimate is off by 0.035 at 0.8 (one standard deviation).
  static let threshold = 0.72

  /// The lowest byte of each hash, which is enough to compare.
  var bytes: [UInt8]
  /// One for each band.
  var keys: [UInt64]

  /// nil for a document without words.
  init?(_ words: [DocumentWords.Word], items: inout [UInt32]) {
    guard !words.isEmpty else { return nil }
    items.removeAll(keepingCapacity: true)
    // Of a document shorter than a sequence all words are one.
    let length = min(Self.shingle, words.count)
    DocumentWords.forEachSequence(of: words, length) { hash in
      items.append(UInt32(truncatingIfNeeded: (hash ^ hash >> 29) &* 0xBF58_476D_1CE4_E5B9 >> 32))
    }
    var minima = [UInt32](repeating: 0, count: Self.hashes)
    mf_min_hashes(items, items.count, &minima)
    bytes = minima.map { UInt8(truncatingIfNeeded: $0) }
    keys = (0..<Self.bands).map { band in
      var key = UInt64(band)
      for hash in minima[band * Self.bandHashes..<(band + 1) * Self.bandHashes] {
        key = (key ^ UInt64(hash)) &* 0x9E37_79B9_7F4A_7C15
        key ^= key >> 29
      }
      return key
    }
  }

  /// The estimated similarity of two documents: shared sequences over all of both. Of bytes, 1 in 256 is equal by chance.
  static func similarity(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Double {
    var equal = 0
    for index in 0..<hashes where one[index] == other[index] { equal += 1 }
    return max(0, (Double(equal) / Double(hashes) - 1 / 256) / (1 - 1 / 256))
  }
}
