/// Byte-level BPE with memory of the words it has met.
///
/// In the steady state nothing is allocated per word: a word of at most 15 bytes is found by its bytes in a table
/// of 32-byte entries, whose newest word wins; others are merged in buffers that are kept.
final class ByteLevelEncoder {
  /// A word and its tokens. The bytes fill two words, the last one being their count, so that two comparisons tell.
  private struct CachedWord {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var count: Int32 = 0
    /// The tokens, if they are at most three, else the first one is where they start in `longer`.
    var tokens: (Int32, Int32, Int32) = (0, 0, 0)
  }

  private static let longestCachedWord = 15
  private static let longestMergedWord = 1 << 20
  private static let cacheBits = 15
  private static let longerCapacity = 1 << 18

  private let tokenizer: TokenizerModel
  private let model: ByteLevelModel
  private var merger: WordMerger
  private let cache: UnsafeMutablePointer<CachedWord>
  private let longer: UnsafeMutablePointer<Int32>
  private var longerCount = 0

  private var output: UnsafeMutablePointer<Int32>
  private var outputCount = 0
  private var outputCapacity: Int

  init(_ tokenizer: TokenizerModel, _ model: ByteLevelModel) {
    self.tokenizer = tokenizer
    self.model = model
    merger = WordMerger(table: model.merges)
    cache = .allocate(capacity: 1 << Self.cacheBits)
    cache.initialize(repeating: CachedWord(), count: 1 << Self.cacheBits)
    longer = .allocate(capacity: Self.longerCapacity)
    outputCapacity = 4096
    output = .allocate(capacity: outputCapacity)
  }

  deinit {
    cache.deallocate()
    longer.deallocate()
    output.deallocate()
  }

  func encode(_ text: UnsafeRawBufferPointer, specialTokens: Bool) -> [Int32] {
    encodeFindingTokens(text, specialTokens: specialTokens)
    return Array(UnsafeBufferPointer(start: output, count: outputCount))
  }

  /// Appends the ids of a text to others.
  func encode(_ text: UnsafeRawBufferPointer, specialTokens: Bool, into ids: inout [Int32]) {
    encodeFindingTokens(text, specialTokens: specialTokens)
    ids.append(contentsOf: UnsafeBufferPointer(start: output, count: outputCount))
  }

  private func encodeFindingTokens(_ text: UnsafeRawBufferPointer, specialTokens: Bool) {
    outputCount = 0
    tokenizer.split(text, specialTokens: specialTokens) { id in
      reserveOutput(1)
      output[outputCount] = id
      outputCount += 1
    } text: { text, _ in
      encodeWords(text)
    }
  }

  // MARK: Words

  private func encodeWords(_ text: UnsafeRawBufferPointer) {
    model.preTokenizer.forEachWord(in: text) { word in encodeWord(text, word) }
  }

  @inline(__always)
  private func encodeWord(_ text: UnsafeRawBufferPointer, _ word: Range<Int>) {
    let length = word.count
    reserveOutput(length)
    if length > Self.longestCachedWord {
      encodeLongWord(text, word)
    } else {
      encodeShortWord(text, word)
    }
  }

  private func encodeLongWord(_ text: UnsafeRawBufferPointer, _ word: Range<Int>) {
    guard let boundaries = model.boundaries else {
      appendMerged(UnsafeRawBufferPointer(rebasing: text[word]))
      return
    }
    boundaries.forEachPiece(of: text, word) { piece in
      if piece.count <= Self.longestCachedWord {
        encodeShortWord(text, piece)
      } else {
        appendMerged(UnsafeRawBufferPointer(rebasing: text[piece]))
      }
    }
  }

  /// A word, or a piece of one, of few enough bytes to be remembered.
  @inline(__always)
  private func encodeShortWord(_ text: UnsafeRawBufferPointer, _ word: Range<Int>) {
    let length = word.count
    if length == 1 {
      output[outputCount] = model.merges.byteTokens[Int(text[word.lowerBound])]
      outputCount += 1
      return
    }
    let (low, high) = Self.key(text, word)
    let hash = mixed(low ^ high &* 0x9E37_79B9_7F4A_7C15)
    let entry = cache + Int(truncatingIfNeeded: hash >> UInt64(64 - Self.cacheBits))
    if entry.pointee.low == low, entry.pointee.high == high {
      appendCached(entry)
    } else {
      let start = outputCount
      appendMerged(UnsafeRawBufferPointer(rebasing: text[word]))
      remember(low, high, from: start, at: entry)
    }
  }

  @inline(__always)
  private static func key(_ text: UnsafeRawBufferPointer, _ word: Range<Int>) -> (low: UInt64, high: UInt64) {
    let length = word.count
    var low: UInt64 = 0
    var high: UInt64 = 0
    if word.lowerBound + 16 <= text.count {
      low = text.loadUnaligned(fromByteOffset: word.lowerBound, as: UInt64.self).littleEndian
      if length < 8 {
        low &= 1 << UInt64(length * 8) - 1
      } else {
        high = text.loadUnaligned(fromByteOffset: word.lowerBound + 8, as: UInt64.self).littleEndian
        high &= 1 << UInt64((length - 8) * 8) - 1
      }
    } else {
      for offset in 0..<length {
        let byte = UInt64(text[word.lowerBound + offset])
        if offset < 8 { low |= byte << UInt64(offset * 8) } else { high |= byte << UInt64((offset - 8) * 8) }
      }
    }
    return (low, high | UInt64(length) << 56)
  }

  @inline(__always)
  private func appendCached(_ entry: UnsafeMutablePointer<CachedWord>) {
    let count = Int(entry.pointee.count)
    let tokens = entry.pointee.tokens
    if count <= 3 {
      // The room for them is there (a word has as many tokens as bytes at most, and output has slack): no branches.
      output[outputCount] = tokens.0
      output[outputCount + 1] = tokens.1
      output[outputCount + 2] = tokens.2
    } else {
      (output + outputCount).update(from: longer + Int(tokens.0), count: count)
    }
    outputCount += count
  }

  private func remember(_ low: UInt64, _ high: UInt64, from start: Int, at entry: UnsafeMutablePointer<CachedWord>) {
    let count = outputCount - start
    var word = CachedWord(low: low, high: high, count: Int32(count))
    if count <= 3 {
      word.tokens.0 = output[start]
      if count > 1 { word.tokens.1 = output[start + 1] }
      if count > 2 { word.tokens.2 = output[start + 2] }
    } else {
      if longerCount + count > Self.longerCapacity {
        cache.update(repeating: CachedWord(), count: 1 << Self.cacheBits)
        longerCount = 0
      }
      (longer + longerCount).update(from: output + start, count: count)
      word.tokens.0 = Int32(longerCount)
      longerCount += count
    }
    entry.pointee = word
  }

  private func appendMerged(_ word: UnsafeRawBufferPointer) {
    // Merging takes 50 times a word's bytes. No language has words of a MiB: damage is merged in pieces.
    if word.count > Self.longestMergedWord {
      for start in stride(from: 0, to: word.count, by: Self.longestMergedWord) {
        appendMerged(UnsafeRawBufferPointer(rebasing: word[start..<min(start + Self.longestMergedWord, word.count)]))
      }
      return
    }
    if let words = model.wholeWords, let id = words.id(of: word) {
      output[outputCount] = id
      outputCount += 1
      return
    }
    let count = merger.merge(word)
    (output + outputCount).update(from: merger.tokens, count: count)
    outputCount += count
  }

  /// Makes room for `count` ids and the slack of `appendCached`.
  @inline(__always)
  private func reserveOutput(_ count: Int) {
    if outputCount + count + 3 > outputCapacity { growOutput(count) }
  }

  private func growOutput(_ count: Int) {
    outputCapacity = max(outputCapacity * 2, outputCount + count + 3)
    let grown = UnsafeMutablePointer<Int32>.allocate(capacity: outputCapacity)
    grown.initialize(from: output, count: outputCount)
    output.deallocate()
    output = grown
  }
}
