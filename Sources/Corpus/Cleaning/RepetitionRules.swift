import Tokenization

/// The repetition rules of Gopher's training data, with their published thresholds: shares of lines, paragraphs and bytes
/// that stand in the document before.
///
/// Rae et al., arXiv:2112.11446, table A1. Where that counts characters, bytes are counted here.
struct RepetitionRules {
  private var table = HashCounter()
  private var rolling: [UInt64] = []

  /// Bytes of the most frequent sequence of n words, as a share of the text.
  private static let frequent: [(n: Int, most: Double)] = [(2, 0.20), (3, 0.18), (4, 0.16)]
  /// Bytes in all repeated sequences of n words.
  private static let repeated: [(n: Int, most: Double)] = [
    (5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10),
  ]

  mutating func failed(
    _ text: UnsafeRawBufferPointer, _ words: DocumentWords, _ lines: DocumentLines
  ) -> DropRule? {
    let bytes = Double(max(1, text.count))
    var (count, again, againBytes) = (0, 0, 0)
    table.begin(capacity: lines.lines.count)
    for line in lines.lines where !line.isEmpty {
      count += 1
      if table.add(Self.hash(text, line)) > 1 {
        again += 1
        againBytes += line.count
      }
    }
    if Double(again) > 0.3 * Double(count) || Double(againBytes) > 0.2 * bytes { return .repeatedLines }

    (count, again, againBytes) = (0, 0, 0)
    table.begin(capacity: lines.lines.count)
    lines.forEachParagraph {
      let paragraph = lines.bytes(of: $0)
      count += 1
      if table.add(Self.hash(text, paragraph)) > 1 {
        again += 1
        againBytes += paragraph.count
      }
    }
    if Double(again) > 0.3 * Double(count) || Double(againBytes) > 0.2 * bytes { return .repeatedParagraphs }

    for rule in Self.frequent where mostFrequent(words.words, rule.n) > rule.most * bytes { return .frequentGrams }
    for rule in Self.repeated where repeated(words.words, rule.n) > rule.most * bytes { return .repeatedGrams }
    return nil
  }

  private static func hash(_ text: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64 {
    hashBytes(UnsafeRawBufferPointer(rebasing: text[range]))
  }

  /// The bytes that the most frequent sequence of n words takes in all: those of its first place times their number.
  private mutating func mostFrequent(_ words: [DocumentWords.Word], _ n: Int) -> Double {
    guard words.count >= n else { return 0 }
    var best = (count: 1, bytes: 0)
    roll(words, n)
    table.begin(capacity: rolling.count)
    for (place, hash) in rolling.enumerated() {
      let count = table.add(hash)
      if count > best.count { best = (count, Int(words[place + n - 1].end - words[place].start)) }
    }
    return Double(best.count) * Double(best.bytes)
  }

  /// The bytes of sequences that stood before, each byte counted once.
  private mutating func repeated(_ words: [DocumentWords.Word], _ n: Int) -> Double {
    guard words.count >= n else { return 0 }
    roll(words, n)
    table.begin(capacity: rolling.count)
    var bytes = 0
    var place = 0
    while place < rolling.count {
      if table.add(rolling[place]) > 1 {
        bytes += Int(words[place + n - 1].end - words[place].start)
        place += n
      } else {
        place += 1
      }
    }
    return Double(bytes)
  }

  /// The hash of the n words from each word on.
  private mutating func roll(_ words: [DocumentWords.Word], _ n: Int) {
    rolling.removeAll(keepingCapacity: true)
    DocumentWords.forEachSequence(of: words, n) { rolling.append($0) }
  }
}

/// Counts hashes, by open addressing, in memory that is kept from one use to the next.
struct HashCounter {
  private struct Slot {
    var hash: UInt64 = 0
    var round: UInt32 = 0
    var count: UInt32 = 0
  }

  private var slots: [Slot] = Array(repeating: Slot(), count: 1 << 8)
  private var round: UInt32 = 0
  private var mask = 0

  /// Forgets all; up to `capacity` different ones follow.
  mutating func begin(capacity: Int) {
    var size = 1 << 6
    while size < capacity * 2 { size *= 2 }
    if size > slots.count { slots = Array(repeating: Slot(), count: size) }
    mask = size - 1
    round &+= 1
    if round == 0 {
      slots = Array(repeating: Slot(), count: slots.count)
      round = 1
    }
  }

  /// How often a hash has come, this time counted.
  @inline(__always)
  mutating func add(_ hash: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: hash ^ hash >> 32) & mask
    while slots[place].round == round {
      if slots[place].hash == hash {
        slots[place].count += 1
        return Int(slots[place].count)
      }
      place = (place + 1) & mask
    }
    slots[place] = Slot(hash: hash, round: round, count: 1)
    return 1
  }
}
