import Formats

/// Pairs of a key and a document in the order of both, however many there are: what doesn't fit in memory waits on disk in
/// sorted runs, which are merged at the end (Knuth, The Art of Computer Programming, volume 3, section 5.4).
struct SpillSorter {
  struct Pair: BitwiseCopyable, Comparable {
    var key: UInt64
    var document: UInt64

    @inline(__always)
    static func < (one: Pair, other: Pair) -> Bool {
      one.key != other.key ? one.key < other.key : one.document < other.document
    }
  }

  private var pending: [Pair] = []
  private let capacity: Int
  private let folder: String
  private var file: ScratchFile?
  /// Of each run in the file, in pairs.
  private var runs: [Range<Int>] = []

  /// - Parameters:
  ///   - folder: where runs are kept.
  ///   - memory: bytes for pairs in memory.
  init(in folder: String, memory: Int) {
    self.folder = folder
    capacity = max(1 << 10, memory / MemoryLayout<Pair>.stride)
  }

  mutating func add(_ key: UInt64, document: Int) throws(CorpusError) {
    if pending.count == capacity { try spill() }
    pending.append(Pair(key: key, document: UInt64(document)))
  }

  /// Hands over all pairs in order, once.
  mutating func forEach(_ body: (Pair) throws(CorpusError) -> Void) throws(CorpusError) {
    if runs.isEmpty {
      pending.sort()
      for pair in pending { try body(pair) }
      return
    }
    try spill()
    guard let file else { return }
    pending = []
    var readers: [RunReader] = []
    let block = max(1 << 8, capacity / runs.count)
    for run in runs {
      var reader = RunReader(file, run, block: block)
      if try reader.advance() { readers.append(reader) }
    }
    // A heap of runs, the one with the least pair first.
    for place in stride(from: readers.count / 2 - 1, through: 0, by: -1) { Self.sink(&readers, place) }
    while !readers.isEmpty {
      try body(readers[0].current)
      if try !readers[0].advance() {
        readers.swapAt(0, readers.count - 1)
        readers.removeLast()
      }
      Self.sink(&readers, 0)
    }
  }

  private static func sink(_ heap: inout [RunReader], _ start: Int) {
    var place = start
    while true {
      var least = place
      for child in [2 * place + 1, 2 * place + 2] where child < heap.count && heap[child].current < heap[least].current
      { least = child }
      if least == place { return }
      heap.swapAt(place, least)
      place = least
    }
  }

  private mutating func spill() throws(CorpusError) {
    guard !pending.isEmpty else { return }
    pending.sort()
    let file: ScratchFile
    if let known = self.file { file = known } else { file = try withFiles(try ScratchFile(in: folder)) }
    self.file = file
    let start = runs.last?.upperBound ?? 0
    try pending.lendBytes { bytes throws(CorpusError) in try withFiles(try file.append(bytes)) }
    runs.append(start..<start + pending.count)
    pending.removeAll(keepingCapacity: true)
  }
}

/// A run in the file, a block in memory at a time.
private struct RunReader {
  private let file: ScratchFile
  private var left: Range<Int>
  private var block: [SpillSorter.Pair] = []
  private var place = 0
  private let blockSize: Int
  private(set) var current = SpillSorter.Pair(key: 0, document: 0)

  init(_ file: ScratchFile, _ run: Range<Int>, block: Int) {
    self.file = file
    left = run
    blockSize = block
  }

  /// Goes on to the next pair; false behind the last.
  mutating func advance() throws(CorpusError) -> Bool {
    if place == block.count {
      let count = min(blockSize, left.count)
      if count == 0 { return false }
      block = Array(repeating: SpillSorter.Pair(key: 0, document: 0), count: count)
      let file = file
      let offset = left.lowerBound * MemoryLayout<SpillSorter.Pair>.stride
      try block.lendMutableBytes { bytes throws(CorpusError) in try withFiles(try file.read(into: bytes, at: offset)) }
      left = left.lowerBound + count..<left.upperBound
      place = 0
    }
    current = block[place]
    place += 1
    return true
  }
}
