import Formats

/// What the report shows of a corpus beyond its counts; gathered while the documents go by.
struct CorpusSample: Sendable {
  /// Documents by the power of two that their number of tokens lies below: bin b holds 2ᵇ⁻¹ ..< 2ᵇ.
  private(set) var lengths: [Int] = []
  /// How often each token occurs in the training split.
  private(set) var frequencies: [Int]
  /// Beginnings of training documents, and how many bytes they have.
  private(set) var documents: [(text: String, bytes: Int)] = []
  private var hashes: [UInt64] = []

  private static let documentCount = 6
  private static let excerptBytes = 700

  init(vocabularySize: Int) { frequencies = Array(repeating: 0, count: vocabularySize) }

  mutating func add(_ text: ArraySlice<UInt8>, ids: ArraySlice<Int32>, split: Split) {
    let bin = Int.bitWidth - ids.count.leadingZeroBitCount
    reserveLengths(bin + 1)
    lengths[bin] += 1
    guard split == .train else { return }
    for id in ids { frequencies[Int(id)] += 1 }

    // The documents with the smallest hashes: chosen as if by chance, but the same each time.
    let head = text.prefix(Self.excerptBytes)
    let hash = ContentHash(Array(head)).words[3]
    if hashes.count == Self.documentCount, let last = hashes.last, last <= hash { return }
    insert(hash, (text.excerpt(bytes: Self.excerptBytes), text.count))
  }

  /// Adds what was gathered of the documents that follow.
  mutating func add(_ other: CorpusSample) {
    reserveLengths(other.lengths.count)
    for (bin, count) in other.lengths.enumerated() { lengths[bin] += count }
    for (id, count) in other.frequencies.enumerated() { frequencies[id] += count }
    for (hash, document) in zip(other.hashes, other.documents) { insert(hash, document) }
  }

  private mutating func reserveLengths(_ count: Int) {
    if count > lengths.count { lengths.append(contentsOf: repeatElement(0, count: count - lengths.count)) }
  }

  private mutating func insert(_ hash: UInt64, _ document: (text: String, bytes: Int)) {
    let place = hashes.firstIndex { hash < $0 } ?? hashes.count
    guard place < Self.documentCount else { return }
    hashes.insert(hash, at: place)
    documents.insert(document, at: place)
    if hashes.count > Self.documentCount {
      hashes.removeLast()
      documents.removeLast()
    }
  }

  /// The tokens that occur most often, with their counts.
  func mostFrequent(_ count: Int) -> [(id: Int32, count: Int)] {
    let ids = frequencies.indices.sorted { (-frequencies[$0], $0) < (-frequencies[$1], $1) }
    return ids.prefix(count).filter { frequencies[$0] > 0 }.map { (Int32($0), frequencies[$0]) }
  }

  /// Tokens of the vocabulary that the training split never uses.
  var unusedTokens: Int { frequencies.count { $0 == 0 } }
}
