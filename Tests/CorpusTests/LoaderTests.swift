import Corpus
import Formats
import Foundation
import TestSupport
import Testing

/// A shard with these ids; its file lives as long as the folder.
func makeShard(_ ids: [Int32], _ name: String, in folder: TemporaryFolder, vocabularySize: Int = 65_536) throws
  -> TokenShard
{
  let writer = try TokenShardWriter(path: folder.file(name), vocabularySize: vocabularySize)
  try writer.append(ids)
  try writer.commit()
  return try TokenShard(path: folder.file(name))
}

@Suite("Batch loader")
struct BatchLoaderTests {
  private func take(_ count: Int, from loader: BatchLoader) throws -> [(inputs: [Int32], targets: [Int32])] {
    let size = loader.batchSize * loader.context
    return try (0..<count).map { _ in
      var inputs = [Int32](repeating: -1, count: size)
      var targets = inputs
      try inputs.withUnsafeMutableBufferPointer { inputs in
        try targets.withUnsafeMutableBufferPointer { try loader.next(inputs: inputs, targets: $0) }
      }
      return (inputs, targets)
    }
  }

  @Test("in sequence, batches are the text row by row, and targets the tokens behind", arguments: [0, 1 << 20])
  func sequential(cacheBytes: Int) throws {
    let folder = try TemporaryFolder()
    let shards = [
      try makeShard(Array(0..<11), "a", in: folder), try makeShard(Array(100..<106), "b", in: folder),
    ]
    var settings = BatchLoader.Settings(batchSize: 2, context: 4)
    settings.order = .sequential
    settings.cacheBytes = cacheBytes
    let loader = try BatchLoader(shards, settings)
    #expect(loader.rowsPerEpoch == 3)
    let batches = try take(3, from: loader)
    #expect(batches[0].inputs == [0, 1, 2, 3, 4, 5, 6, 7])
    #expect(batches[0].targets == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(batches[1].inputs == [100, 101, 102, 103, 0, 1, 2, 3])
    #expect(batches[2].inputs == [4, 5, 6, 7, 100, 101, 102, 103])
    #expect(loader.position == 6)
  }

  @Test("ids of 32 bits are read as they are", arguments: [0, 1 << 20])
  func wide(cacheBytes: Int) throws {
    let folder = try TemporaryFolder()
    let shard = try makeShard([70_000, 1, 70_001, 2, 3], "a", in: folder, vocabularySize: 100_000)
    var settings = BatchLoader.Settings(batchSize: 1, context: 4)
    settings.order = .sequential
    settings.cacheBytes = cacheBytes
    #expect(try take(1, from: BatchLoader([shard], settings))[0].targets == [1, 70_001, 2, 3])
  }

  @Test("a run that starts at any row goes on as the whole run does", arguments: RowOrder.Kind.allCases)
  func resumes(order: RowOrder.Kind) throws {
    let folder = try TemporaryFolder()
    let shards = [
      try makeShard(Array(0..<1000), "a", in: folder), try makeShard(Array(2000..<2777), "b", in: folder),
    ]
    var settings = BatchLoader.Settings(batchSize: 3, context: 16)
    settings.order = order
    settings.seed = 11
    let whole = try take(120, from: BatchLoader(shards, settings))
    for batches in [1, 37, 90] {
      settings.startRow = 3 * batches
      settings.prefetch = 1 + batches % 5
      settings.cacheBytes = batches % 2 == 0 ? 0 : 3000
      let rest = try take(5, from: BatchLoader(shards, settings))
      for (a, b) in zip(rest, whole[batches...]) { #expect(a.inputs == b.inputs && a.targets == b.targets) }
    }
  }

  @Test("a run over whole documents of two data sets can start at any row, too", arguments: RowOrder.Kind.allCases)
  func resumesMixture(order: RowOrder.Kind) throws {
    let folder = try TemporaryFolder()
    func group(_ ids: Range<Int32>, every length: Int32, weight: Double) throws -> ShardGroup {
      let shard = try makeShard(ids.map { $0 % length == 0 ? 0 : $0 }, "\(weight)", in: folder)
      return ShardGroup(shards: [shard], weight: weight)
    }
    let groups = [try group(1..<1000, every: 7, weight: 3), try group(2000..<2500, every: 30, weight: 1)]
    var settings = BatchLoader.Settings(batchSize: 3, context: 16)
    settings.order = order
    settings.packing = .bestFit(endOfText: 0)
    let whole = try take(60, from: BatchLoader(groups, settings))
    settings.startRow = 3 * 41
    let rest = try take(5, from: BatchLoader(groups, settings))
    for (a, b) in zip(rest, whole[41...]) { #expect(a.inputs == b.inputs && a.targets == b.targets) }
    let inputs = whole.flatMap(\.inputs).filter { $0 != 0 }
    #expect(inputs.contains { $0 < 1000 } && inputs.contains { $0 >= 2000 })
  }

  @Test("the seed changes the order of rows")
  func seeds() throws {
    let folder = try TemporaryFolder()
    let shards = [try makeShard(Array(0..<5000), "a", in: folder)]
    var settings = BatchLoader.Settings(batchSize: 4, context: 16)
    let first = try take(3, from: BatchLoader(shards, settings))
    let again = try take(3, from: BatchLoader(shards, settings))
    settings.seed = 1
    let other = try take(3, from: BatchLoader(shards, settings))
    #expect(first.map(\.inputs) == again.map(\.inputs))
    #expect(first.map(\.inputs) != other.map(\.inputs))
  }

  @Test("a loader that is dropped, used or not, ends its thread")
  func dropped() throws {
    let folder = try TemporaryFolder()
    let shards = [try makeShard(Array(0..<5000), "a", in: folder)]
    for batches in [0, 1, 20] {
      for _ in 0..<20 {
        let loader = try BatchLoader(shards, BatchLoader.Settings(batchSize: 2, context: 8))
        _ = try take(batches, from: loader)
      }
    }
  }

  @Test("a shard that is cut while it is read gives an error when that batch is asked for, and stays an error")
  func cutShard() throws {
    let folder = try TemporaryFolder()
    let shard = try makeShard(Array(0..<10_000), "a", in: folder)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: shard.path))
    try handle.truncate(atOffset: 1024 + 2 * 100)
    var settings = BatchLoader.Settings(batchSize: 1, context: 10)
    settings.order = .sequential
    settings.cacheBytes = 0
    let loader = try BatchLoader([shard], settings)
    _ = try take(9, from: loader)
    for _ in 0..<2 {
      let error = thrownError { _ = try take(1, from: loader) } as? CorpusError
      guard case .file(.cutShort(shard.path, _, _)) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }
  }

  @Test("shards that are too short for the context are an error that says how many tokens are needed")
  func tooShort() throws {
    let folder = try TemporaryFolder()
    let shard = try makeShard(Array(0..<8), "a", in: folder)
    #expect(throws: CorpusError.tooFewTokens(path: shard.path, needed: 9, found: 8)) {
      try BatchLoader([shard], BatchLoader.Settings(batchSize: 1, context: 8))
    }
    _ = try take(3, from: BatchLoader([shard], BatchLoader.Settings(batchSize: 1, context: 7)))
  }
}

@Suite("Layouts of rows")
struct RowLayoutTests {
  private func pieces(_ layout: any RowLayout, _ rows: Range<Int>) throws -> [[RowPiece]] {
    try rows.map { row in
      var pieces: [RowPiece] = []
      try layout.forEachPiece(ofRow: row) { pieces.append($0) }
      return pieces
    }
  }

  @Test(
    "rows of whole documents make each prediction within a document once, and cut only what is longer than a row",
    arguments: [1, 5, 16, 64, 5000], RowOrder.Kind.allCases)
  func packed(context: Int, order: RowOrder.Kind) throws {
    let folder = try TemporaryFolder()
    var random = SystemRandomNumberGenerator()
    // End tokens side by side, at the start, and none at the end of the second shard.
    let shards = try (0..<2).map { index in
      var ids: [Int32] = [0, 0]
      for document in 0..<200 {
        let length = Int.random(in: 0...(document % 10 == 0 ? 150 : 20), using: &random)
        ids += (0..<length).map { Int32($0 + 1) } + [0]
      }
      if index == 1 { ids.removeLast() }
      return try makeShard(ids, "\(index)", in: folder)
    }
    let rows = try PackedRows(order, shards, context: context, endOfText: 0, seed: 5)
    var predicted = shards.map { [Int](repeating: 0, count: $0.count) }
    var used = 0
    for row in try pieces(rows, 0..<rows.rowsPerEpoch) {
      #expect(!row.isEmpty && row.reduce(0) { $0 + $1.count } <= context)
      for piece in row {
        used += piece.count
        for place in piece.start..<piece.start + piece.count { predicted[piece.shard][place + 1] += 1 }
        let ids = try shards[piece.shard].read(piece.start..<piece.start + piece.count + 1)
        #expect(!ids[1..<piece.count].contains(0), "no document begins inside of a piece")
        #expect(piece.count == context || ids[piece.count] == 0 || piece.start + piece.count + 1 == shards[1].count)
      }
    }
    for counts in predicted { #expect(counts.dropFirst().allSatisfy { $0 == 1 }) }
    // A row is opened only for what fits into no other: no two of them are less than half full.
    #expect(used * 2 > (rows.rowsPerEpoch - 1) * context)
  }

  @Test("the least room that suffices is filled, the longest piece first")
  func bestFit() {
    #expect(PackedRows.rows(of: [4, 3, 6, 7, 2, 8], context: 10) == [2, 1, 2, 1, 0, 0])
    #expect(PackedRows.rows(of: [], context: 10) == [])
  }

  @Test("a mixture takes of each set its share, and of each every row in turn")
  func mixture() throws {
    let parts = [1000, 3000].map { RowOrder(.sequential, counts: [$0 + 1], context: 1, seed: 0) }
    let layout = RowMixture(parts.map { ($0, 1) }, weights: [3, 1], seed: 7)
    let rows = try pieces(layout, 0..<40_960).map { $0[0] }
    let first = rows.count { $0.shard == 0 }
    #expect(first == 30_720)
    // Also over a part of a block.
    #expect((650...850).contains(rows[5000..<6000].count { $0.shard == 0 }))
    // Each pass over a set takes each of its rows once.
    for (shard, size) in [(0, 1000), (1, 3000)] {
      let counts = Dictionary(grouping: rows.filter { $0.shard == shard }, by: \.start).mapValues(\.count)
      #expect(counts.count == size)
      let passes = rows.count { $0.shard == shard } / size
      #expect(counts.values.allSatisfy { abs($0 - passes) <= 3 })
    }
  }

  @Test("a set without a row, and weights of another number than sets, are errors")
  func refused() throws {
    let folder = try TemporaryFolder()
    let groups = [
      ShardGroup(shards: [try makeShard(Array(0..<100), "a", in: folder)]),
      ShardGroup(shards: [try makeShard([1], "b", in: folder)]),
    ]
    #expect(throws: CorpusError.tooFewTokens(path: folder.file("b"), needed: 5, found: 1)) {
      try BatchLoader(groups, BatchLoader.Settings(batchSize: 1, context: 4))
    }
    let set = try Dataset(path: makeShard(Array(0..<100), "train.bin", in: folder).path)
    let both = try Dataset(mixing: [set, set])
    #expect(both.tokenCount(of: .train) == 200)
    #expect(try both.trainGroups(weights: nil).map(\.weight) == [100, 100])
    #expect(try both.trainGroups(weights: [1, 2]).map(\.weight) == [1, 2])
    #expect(throws: CorpusError.self) { try both.trainGroups(weights: [1]) }
  }
}

@Suite("Evaluation rows")
struct EvaluationRowsTests {
  private struct Batch {
    var inputs: [Int32]
    var targets: [Int32]
    var weights: [Float]
    var count: Int
  }

  private func batches(_ rows: EvaluationRows) throws -> [Batch] {
    let size = rows.batchSize * rows.context
    return try (0..<rows.batchCount).map { index in
      var batch = Batch(
        inputs: Array(repeating: -1, count: size), targets: Array(repeating: -1, count: size),
        weights: Array(repeating: -1, count: size), count: 0)
      batch.count = try batch.inputs.withUnsafeMutableBufferPointer { inputs in
        try batch.targets.withUnsafeMutableBufferPointer { targets in
          try batch.weights.withUnsafeMutableBufferPointer { weights in
            try rows.read(batch: index, inputs: inputs, targets: targets, weights: weights)
          }
        }
      }
      return batch
    }
  }

  @Test(
    "every token but the first is predicted once, from the one before, also across shards",
    arguments: [[2], [9], [10], [5, 4], [1, 1, 1], [17, 0, 3]], [1, 2, 3])
  func coverage(counts: [Int], batchSize: Int) throws {
    let folder = try TemporaryFolder()
    let ids = (0..<counts.reduce(0, +)).map { Int32($0 + 5) }
    var start = 0
    var shards: [TokenShard] = []
    for (index, count) in counts.enumerated() {
      shards.append(try makeShard(Array(ids[start..<start + count]), "\(index)", in: folder))
      start += count
    }
    let rows = try EvaluationRows(shards, batchSize: batchSize, context: 4)
    #expect(rows.predictedTokens == ids.count - 1)
    var inputs: [Int32] = []
    var targets: [Int32] = []
    for batch in try batches(rows) {
      #expect(batch.weights.count { $0 == 1 } == batch.count)
      for index in batch.weights.indices where batch.weights[index] != 0 {
        inputs.append(batch.inputs[index])
        targets.append(batch.targets[index])
      }
      for index in batch.weights.indices where batch.weights[index] == 0 {
        #expect(batch.inputs[index] == 0 && batch.targets[index] == 0)
      }
    }
    #expect(inputs == Array(ids.dropLast()))
    #expect(targets == Array(ids.dropFirst()))
  }

  @Test("a limit stops after so many rows")
  func limit() throws {
    let folder = try TemporaryFolder()
    let shard = try makeShard(Array(0..<100), "a", in: folder)
    let rows = try EvaluationRows([shard], batchSize: 4, context: 8, limit: 3)
    #expect(rows.predictedTokens == 24)
    #expect(rows.batchCount == 1)
    #expect(try EvaluationRows([shard], batchSize: 4, context: 8, limit: .max).predictedTokens == 99)
  }

  @Test("a split of fewer than two tokens is an error")
  func tooFew() throws {
    let folder = try TemporaryFolder()
    let shard = try makeShard([1], "a", in: folder)
    #expect(throws: CorpusError.tooFewTokens(path: shard.path, needed: 2, found: 1)) {
      try EvaluationRows([shard], batchSize: 1, context: 8)
    }
  }
}
