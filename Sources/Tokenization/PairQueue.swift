import Formats

/// The adjacent pairs of tokens in all different words, by how often they occur.
///
/// A merge touches only the places where its pair stands. Counts of other pairs that fall are not moved in the heap:
/// an entry that comes up with an old count goes back with the new one.
struct PairQueue {
  struct Pair {
    let left: Int32
    let right: Int32
    /// The place of each occurrence, in order.
    fileprivate let occurrences: [UInt32]
  }

  private struct Entry {
    var count: UInt64
    var pair: UInt64
    var list: Int32

    /// Higher counts first, then lower pairs.
    @inline(__always)
    func precedes(_ other: Entry) -> Bool {
      count != other.count ? count > other.count : pair < other.pair
    }
  }

  /// The tokens of all words. A token of n bytes fills n slots, and its id stands in the first and in the last, so
  /// that both neighbours are found by their lengths. Behind each word stands a fence that tells which one it is.
  private var slots: [Int32] = [-1]
  private let wordCounts: [UInt64]
  /// Where the fences of long words stand, in order: nobody walks there from their beginning for each merge.
  private var distantFences: [Int] = []
  private var lengths: [UInt32]

  private var heap: [Entry] = []
  private var lists: [[UInt32]] = []
  private var counts = PairCounts()

  init(_ words: WordCounts, byteTokens: [Int32]) {
    wordCounts = words.counts
    lengths = Array(repeating: 1, count: Int(byteTokens.max() ?? 0) + 1)
    slots.reserveCapacity(words.bytes.count + words.count + 1)
    // How many there are of each pair comes first: lists that grow would take twice the memory for a moment.
    var sizes: [Int] = []
    for word in 0..<words.count {
      for byte in words.bytes[words.ends[word]..<words.ends[word + 1]] {
        let (left, right) = (slots[slots.count - 1], byteTokens[Int(byte)])
        if left >= 0 {
          let index = counts.index(of: pairKey(left, right))
          counts.add(Int64(wordCounts[word]), at: index)
          if index == sizes.count { sizes.append(0) }
          sizes[index] += 1
        }
        slots.append(right)
      }
      if words.ends[word + 1] - words.ends[word] > Self.walk { distantFences.append(slots.count) }
      slots.append(Self.fence(ofWord: word))
    }
    var fresh = sizes.map { size in
      var occurrences: [UInt32] = []
      occurrences.reserveCapacity(size)
      return occurrences
    }
    for place in 1..<max(slots.count - 1, 1) where slots[place] >= 0 && slots[place + 1] >= 0 {
      fresh[counts.index(of: pairKey(slots[place], slots[place + 1]))].append(UInt32(place))
    }
    for (index, occurrences) in fresh.enumerated() { enqueue(index, occurrences) }
  }

  private static func fence(ofWord word: Int) -> Int32 { -3 - Int32(word) }

  /// How often the word occurs that has a token ending before this slot.
  @inline(__always)
  private func weight(at slot: Int) -> Int64 {
    var fence = slot
    let last = slot + Self.walk
    while slots[fence] >= Self.inside {
      if fence == last {
        fence = distantFences[distantFences.partitionPoint { $0 <= last }]
        break
      }
      fence += 1
    }
    return Int64(wordCounts[Int(-3 - slots[fence])])
  }

  /// Slots in which a fence is looked for one by one.
  private static let walk = 64

  /// The next pair to merge; nil when none is frequent enough.
  mutating func popMostFrequent(atLeast minimum: UInt64) -> Pair? {
    while var top = popHeap() {
      let index = counts.index(of: top.pair)
      let count = UInt64(max(counts[index], 0))
      if top.count != count {
        top.count = count
        if count > 0 { push(top) }
        continue
      }
      guard count >= minimum else { return nil }
      let occurrences = lists[Int(top.list)]
      lists[Int(top.list)] = []
      return Pair(
        left: Int32(truncatingIfNeeded: top.pair >> 32), right: Int32(truncatingIfNeeded: top.pair),
        occurrences: occurrences)
    }
    return nil
  }

  /// Replaces the pair by a token of `length` bytes wherever it stands.
  mutating func merge(_ pair: Pair, into merged: Int32, length: Int) {
    if Int(merged) == lengths.count { lengths.append(UInt32(length)) }
    var fresh = FreshPairs()
    for place in pair.occurrences { merge(pair, at: Int(place), into: merged, &fresh) }
    for (index, occurrences) in fresh.pairs { enqueue(index, occurrences) }
  }

  @inline(__always)
  private mutating func merge(_ pair: Pair, at place: Int, into merged: Int32, _ fresh: inout FreshPairs) {
    guard slots[place] == pair.left else { return }
    let middle = place + Int(lengths[Int(pair.left)])
    guard slots[middle] == pair.right else { return }
    let end = middle + Int(lengths[Int(pair.right)])
    let before = slots[place - 1]
    let after = slots[end]
    let weight = weight(at: end)

    // Places that other entries list must not look like starts of tokens any more.
    slots[middle - 1] = Self.inside
    slots[middle] = Self.inside
    slots[place] = merged
    slots[end - 1] = merged
    if before >= 0 {
      counts.add(-weight, at: counts.index(of: pairKey(before, pair.left)))
      let index = counts.index(of: pairKey(before, merged))
      counts.add(weight, at: index)
      fresh.add(UInt32(place) - lengths[Int(before)], to: index)
    }
    if after >= 0 {
      counts.add(-weight, at: counts.index(of: pairKey(pair.right, after)))
      let index = counts.index(of: pairKey(merged, after))
      counts.add(weight, at: index)
      fresh.add(UInt32(place), to: index)
    }
  }

  private static let inside: Int32 = -2

  private mutating func enqueue(_ index: Int, _ occurrences: [UInt32]) {
    let count = counts[index]
    guard count > 0 else { return }
    lists.append(occurrences)
    push(Entry(count: UInt64(count), pair: counts.key(index), list: Int32(lists.count - 1)))
  }

  // MARK: Heap

  private mutating func push(_ entry: Entry) {
    heap.append(entry)
    heap.withUnsafeMutableBufferPointer { heap in
      var place = heap.count - 1
      while place > 0 {
        let parent = (place - 1) / 4
        guard entry.precedes(heap[parent]) else { break }
        heap[place] = heap[parent]
        place = parent
      }
      heap[place] = entry
    }
  }

  private mutating func popHeap() -> Entry? {
    guard let last = heap.popLast() else { return nil }
    guard let top = heap.first else { return last }
    heap.withUnsafeMutableBufferPointer { heap in
      var place = 0
      while true {
        let firstChild = place * 4 + 1
        guard firstChild < heap.count else { break }
        var best = firstChild
        for child in firstChild + 1..<max(min(firstChild + 4, heap.count), firstChild + 1)
        where heap[child].precedes(heap[best]) {
          best = child
        }
        guard heap[best].precedes(last) else { break }
        heap[place] = heap[best]
        place = best
      }
      heap[place] = last
    }
    return top
  }
}

/// The count of each pair that ever stood somewhere, by open addressing.
private struct PairCounts {
  private var keys: [UInt64] = []
  private var values: [Int64] = []
  private var slots: [Int32] = Array(repeating: -1, count: 1 << 12)

  subscript(index: Int) -> Int64 { values[index] }
  func key(_ index: Int) -> UInt64 { keys[index] }
  mutating func add(_ change: Int64, at index: Int) { values[index] += change }

  /// Where a pair's count is; a new pair gets a place.
  mutating func index(of key: UInt64) -> Int {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: mixed(key)) & mask
    while slots[slot] >= 0 {
      if keys[Int(slots[slot])] == key { return Int(slots[slot]) }
      slot = (slot + 1) & mask
    }
    slots[slot] = Int32(keys.count)
    keys.append(key)
    values.append(0)
    if keys.count * 2 > slots.count { grow() }
    return keys.count - 1
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: slots.count * 4)
    let mask = slots.count - 1
    for (index, key) in keys.enumerated() {
      var slot = Int(truncatingIfNeeded: mixed(key)) & mask
      while slots[slot] >= 0 { slot = (slot + 1) & mask }
      slots[slot] = Int32(index)
    }
  }
}

/// The pairs that came up in one round, and where.
private struct FreshPairs {
  private var positions: [Int: Int] = [:]
  private(set) var pairs: [(index: Int, occurrences: [UInt32])] = []

  mutating func add(_ place: UInt32, to index: Int) {
    if let last = pairs.last, last.index == index {
      pairs[pairs.count - 1].occurrences.append(place)
    } else if let position = positions[index] {
      pairs[position].occurrences.append(place)
    } else {
      positions[index] = pairs.count
      pairs.append((index, [place]))
    }
  }
}
