import Compute
package import Tokenization

/// Which tokens of a row a model is to fill in, and what it sees in their place.
///
/// 15 % of the tokens are chosen, never special ones. Of these a model that learns sees the mask in 80 %, any other token
/// in 10 %, and the token itself in 10 %; one that is measured sees the mask. All is a function of (seed, row, position).
///
/// Devlin et al., "BERT", arXiv:1810.04805, section 3.1 and appendix A.1.
package struct Masking: Sendable {
  package let maskToken: Int32
  private let philox: Philox
  private let onlyMasks: Bool
  /// Whether a token may be chosen, by id.
  private let isOrdinary: [Bool]
  /// What may stand in a token's place.
  private let ordinary: [Int32]

  /// Keeps these random numbers from those of others with the same seed.
  private static let stream: UInt32 = 0x6D61_736B
  /// Evaluations choose the same tokens in every run.
  private static let evaluationSeed: UInt64 = 0

  private static let share = 0.15
  private static let maskedShare = 0.8
  private static let replacedShare = 0.1

  /// - Parameters:
  ///   - tokenizer: says which ids are special; nil: none but the mask.
  ///   - seed: of a model that learns; nil: to measure one.
  package init(maskToken: Int32, vocabularySize: Int, tokenizer: Tokenizer?, seed: UInt64?) {
    self.maskToken = maskToken
    philox = Philox(seed: seed ?? Self.evaluationSeed)
    onlyMasks = seed == nil
    let isOrdinary = (0..<Int32(clamping: vocabularySize)).map { id in
      id != maskToken && tokenizer.map { $0.token(id) != nil && !$0.isSpecial(id) } ?? true
    }
    self.isOrdinary = isOrdinary
    ordinary = isOrdinary.indices.filter { isOrdinary[$0] }.map { Int32($0) }
  }

  /// How many of so many tokens are chosen, about.
  package static func chosen(of tokens: Int) -> Int { max(1, Int(share * Double(tokens))) }

  /// Hides tokens of a row. Allocates nothing.
  ///
  /// - Parameters:
  ///   - row: its number among all rows of the run, or of the split.
  ///   - count: tokens of the row; the others are padding.
  ///   - ids: (T), the tokens; those that are chosen are replaced.
  ///   - targets: (T), gets the tokens as they were.
  ///   - weights: (T), gets 1 where a token was chosen, else 0.
  package func hide(
    row: Int, count: Int, ids: Slice<UnsafeMutableBufferPointer<Int32>>,
    targets: Slice<UnsafeMutableBufferPointer<Int32>>, weights: Slice<UnsafeMutableBufferPointer<Float>>
  ) {
    let (ids, targets, weights) = (
      UnsafeMutableBufferPointer(rebasing: ids), UnsafeMutableBufferPointer(rebasing: targets),
      UnsafeMutableBufferPointer(rebasing: weights)
    )
    for t in ids.indices {
      targets[t] = ids[t]
      weights[t] = 0
      guard t < count, isOrdinary.indices.contains(Int(ids[t])), isOrdinary[Int(ids[t])] else { continue }
      let words = philox.words(
        SIMD4(UInt32(truncatingIfNeeded: t), UInt32(truncatingIfNeeded: row), Self.stream, UInt32(row >> 32)))
      guard Self.uniform(words.x) < Self.share else { continue }
      weights[t] = 1
      let kind = onlyMasks ? 0 : Self.uniform(words.y)
      if kind < Self.maskedShare {
        ids[t] = maskToken
      } else if kind < Self.maskedShare + Self.replacedShare {
        ids[t] = ordinary[Int(words.z) % ordinary.count]
      }
    }
  }

  /// In [0, 1).
  private static func uniform(_ word: UInt32) -> Double { Double(word) * 0x1p-32 }
}
