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
