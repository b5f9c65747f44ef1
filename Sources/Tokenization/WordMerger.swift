/// Merges the bytes, or the characters, of one word into tokens: again and again the adjacent pair of lowest rank, the
/// leftmost of equals.
///
/// Short words are searched from end to end for each merge, which is fastest in a few cache lines; long ones keep
/// their pairs in a heap, so that a word of n bytes takes O(n log n) steps. The buffers grow and are reused.
struct WordMerger: ~Copyable {
  /// Above this many bytes the heap wins.
  private static let heapThreshold = 160

  private let table: MergeTable
  /// The tokens of the word so far; the result.
  private(set) var tokens: UnsafeMutablePointer<Int32>
  /// For each token, the rank of its merge with the next one and what that gives.
  private var ranks: UnsafeMutablePointer<UInt32>
  private var merged: UnsafeMutablePointer<Int32>
  private var capacity: Int

  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var heap: [UInt64] = []

  init(table: MergeTable) {
    self.table = table
    capacity = 256
    tokens = .allocate(capacity: capacity)
    ranks = .allocate(capacity: capacity)
    merged = .allocate(capacity: capacity)
  }

  deinit {
    tokens.deallocate()
    ranks.deallocate()
    merged.deallocate()
  }

  /// Leaves the tokens of a word of at least one byte in `tokens`.
  ///
  /// - Returns: how many there are.
  mutating func merge(_ word: UnsafeRawBufferPointer) -> Int {
    begin(word)
    return word.count <= Self.heapThreshold ? mergeBySearch(word.count) : mergeByHeap(word.count)
  }

  /// The same for a word of tokens that are no bytes.
  mutating func merge(tokens word: [Int32]) -> Int {
    guard !word.isEmpty else { return 0 }
    if word.count > capacity { reserve(word.count) }
    for (index, token) in word.enumerated() { tokens[index] = token }
    for index in 0..<word.count - 1 { (ranks[index], merged[index]) = table.find(word[index], word[index + 1]) }
    ranks[word.count - 1] = MergeTable.none
    return word.count <= Self.heapThreshold ? mergeBySearch(word.count) : mergeByHeap(word.count)
  }

  /// As ``merge(_:)``, but of the merges that are possible at each step some are left out by chance; the word is done when
  /// all are.
  ///
  /// - Parameter probability: of leaving one out, of 2³².
  mutating func merge(
    _ word: UnsafeRawBufferPointer, leavingOut probability: UInt64, using chance: inout some RandomNumberGenerator
  ) -> Int {
    begin(word)
    var count = word.count
    while true {
      var best = MergeTable.none
      var place = 0
      // Only of those that would be taken it matters whether they are left out.
      for index in 0..<count - 1 where ranks[index] < best && chance.next() >> 32 >= probability {
        best = ranks[index]
        place = index
      }
      if best == MergeTable.none { return count }
      merge(at: place, count: &count)
    }
  }

  /// The word's bytes as tokens, and what merging each with the next one would give.
  private mutating func begin(_ word: UnsafeRawBufferPointer) {
    let count = word.count
    if count > capacity { reserve(count) }
    var before = word[0]
    tokens[0] = table.byteTokens[Int(before)]
    for index in 1..<max(count, 1) {
      let byte = word[index]
      tokens[index] = table.byteTokens[Int(byte)]
      let found = table.find(byte: before, byte)
      ranks[index - 1] = found.rank
      merged[index - 1] = found.merged
      before = byte
    }
    ranks[count - 1] = MergeTable.none
  }

  private mutating func reserve(_ count: Int) {
    tokens.deallocate()
    ranks.deallocate()
    merged.deallocate()
    capacity = count + count / 2
    tokens = .allocate(capacity: capacity)
    ranks = .allocate(capacity: capacity)
    merged = .allocate(capacity: capacity)
  }

  // MARK: Short words

  @inline(__always)
  private func mergeBySearch(_ length: Int) -> Int {
    let ranks = ranks
    var count = length
    while true {
      var best = MergeTable.none
      var place = 0
      for index in 0..<count - 1 where ranks[index] < best {
        best = ranks[index]
        place = index
      }
      if best == MergeTable.none { return count }
      merge(at: place, count: &count)
    }
  }

  /// Merges a token with the next one; what follows moves up.
  @inline(__always)
  private func merge(at place: Int, count: inout Int) {
    let (tokens, ranks, merged) = (tokens, ranks, merged)
    tokens[place] = merged[place]
    count -= 1
    for index in place + 1..<max(count, place + 1) {
      tokens[index] = tokens[index + 1]
      ranks[index] = ranks[index + 1]
      merged[index] = merged[index + 1]
    }
    if place + 1 < count {
      let found = table.find(tokens[place], tokens[place + 1])
      ranks[place] = found.rank
      merged[place] = found.merged
    } else {
      ranks[place] = MergeTable.none
    }
    if place > 0 {
      let found = table.find(tokens[place - 1], tokens[place])
      ranks[place - 1] = found.rank
      merged[place - 1] = found.merged
    }
  }

  // MARK: Long words

  /// The heap holds rank << 32 | place. An entry counts only while `ranks` has the same rank at its place; merged-away
  /// places have none.
  private mutating func mergeByHeap(_ length: Int) -> Int {
    next.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    heap.removeAll(keepingCapacity: true)
    for place in 0..<Int32(length) {
      next.append(place + 1)
      previous.append(place - 1)
      let rank = ranks[Int(place)]
      if rank != MergeTable.none { heap.append(UInt64(rank) << 32 | UInt64(place)) }
    }
    for place in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(from: place) }

    while let top = popHeap() {
      let place = Int(top & 0xFFFF_FFFF)
      guard ranks[place] == UInt32(top >> 32) else { continue }
      let gone = Int(next[place])
      tokens[place] = merged[place]
      ranks[gone] = MergeTable.none
      tokens[gone] = -1
      let after = Int(next[gone])
      next[place] = Int32(after)
      if after < length {
        previous[after] = Int32(place)
        update(place, with: after)
      } else {
        ranks[place] = MergeTable.none
      }
      if previous[place] >= 0 { update(Int(previous[place]), with: place) }
    }

    var count = 0
    for place in 0..<length where tokens[place] >= 0 {
      tokens[count] = tokens[place]
      count += 1
    }
    return count
  }

  private mutating func update(_ place: Int, with following: Int) {
    let found = table.find(tokens[place], tokens[following])
    ranks[place] = found.rank
    merged[place] = found.merged
    if found.rank != MergeTable.none { pushHeap(UInt64(found.rank) << 32 | UInt64(place)) }
  }

  private mutating func pushHeap(_ entry: UInt64) {
    heap.append(entry)
    var place = heap.count - 1
    while place > 0 {
      let parent = (place - 1) / 2
      if heap[parent] <= entry { break }
      heap[place] = heap[parent]
      place = parent
    }
    heap[place] = entry
  }

  private mutating func popHeap() -> UInt64? {
    guard let last = heap.popLast() else { return nil }
    guard let first = heap.first else { return last }
    heap[0] = last
    siftDown(from: 0)
    return first
  }

  private mutating func siftDown(from start: Int) {
    heap.withUnsafeMutableBufferPointer { heap in
      let entry = heap[start]
      var place = start
      while true {
        var child = place * 2 + 1
        if child >= heap.count { break }
        if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
        if entry <= heap[child] { break }
        heap[place] = heap[child]
        place = child
      }
      heap[place] = entry
    }
  }
}
