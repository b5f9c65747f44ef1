import Compute
import ComputeCPU
import Foundation
import Models
import TestSupport
import Testing

@Suite("A Transformer")
struct TransformerTests {
  private static let time = 12

  /// A model that can run rows of tokens.
  private struct Ready {
    let config: ModelConfig
    let transformer: Transformer
    let executor: CPUExecutor
    let weights: any ParameterStore

    init(_ config: ModelConfig) throws {
      self.config = config
      transformer = try Transformer(config)
      executor = try CPUExecutor(threads: 1)
      weights = try transformer.randomWeights(on: executor)
    }

    func logits(_ ids: [Int32], batch: Int = 1) throws -> [Float] {
      let program = try transformer.logitsProgram(batch: batch, time: ids.count / batch)
      return try program.logits(ids, on: executor.prepare(program.program, parameters: weights, states: nil))
    }
  }

  @Test("never looks at later tokens", arguments: ModelConfig.Architecture.decoders)
  func causal(architecture: ModelConfig.Architecture) throws {
    let model = try Ready(.tiny(architecture))
    let V = model.config.vocabularySize
    let ids = integers(Self.time, below: V, seed: 4)
    let before = try model.logits(ids)
    for place in [1, 6, 11] {
      var changed = ids
      changed[place] = (changed[place] + 1) % Int32(V)
      let after = try model.logits(changed)
      #expect(after[..<(place * V)].map(\.bitPattern) == before[..<(place * V)].map(\.bitPattern))
      #expect(after[(place * V)...] != before[(place * V)...])
    }
  }

  @Test("treats the rows of a batch one by one", arguments: ModelConfig.Architecture.allCases)
  func rows(architecture: ModelConfig.Architecture) throws {
    let model = try Ready(.tiny(architecture))
    let ids = integers(3 * Self.time, below: model.config.vocabularySize, seed: 5)
    let together = try model.logits(ids, batch: 3)
    let apart = try (0..<3).flatMap { try model.logits(Array(ids[$0 * Self.time..<($0 + 1) * Self.time])) }
    #expect(relativeError(together, apart.map(Double.init)) < 1e-5)
  }

  @Test("knows where a token stands", arguments: ModelConfig.Architecture.allCases)
  func positions(architecture: ModelConfig.Architecture) throws {
    let model = try Ready(.tiny(architecture))
    let V = model.config.vocabularySize
    // The last token sees the same tokens in another order.
    let a = try model.logits([1, 2, 3, 4])
    let b = try model.logits([2, 1, 3, 4])
    #expect(relativeError(Array(a[(3 * V)...]), b[(3 * V)...].map(Double.init)) > 1e-4)
  }

  @Test("has the loss that its logits say", arguments: ModelConfig.Architecture.allCases)
  func loss(architecture: ModelConfig.Architecture) throws {
    let model = try Ready(.tiny(architecture))
    let V = model.config.vocabularySize
    let ids = integers(2 * Self.time, below: V, seed: 6)
    let targets = integers(2 * Self.time, below: V, seed: 7)
    let logits = try model.logits(ids, batch: 2).map(Double.init)
    let program = try model.transformer.lossProgram(batch: 2, time: Self.time, training: false)
    let execution = try model.executor.prepare(program.program, parameters: model.weights, states: nil)
    try execution.set(program.ids, ids)
    try execution.set(program.positions, ids.indices.map { Int32($0 % Self.time) })
    try execution.set(program.targets, targets)
    try execution.set(program.weights, [Float](repeating: 1, count: ids.count))
    try execution.set(program.normalizer, [Float(1)])
    try execution.run(RunContext())
    let expected = targets.enumerated().map { index, target in
      let z = logits[index * V..<(index + 1) * V]
      return log(z.reduce(0) { $0 + exp($1) }) - z[index * V + Int(target)]
    }
    #expect(try relativeError(execution.get(program.losses), expected) < 1e-5)
    let correct = targets.enumerated().map { index, target in
      let z = logits[index * V..<(index + 1) * V]
      return z.max() == z[index * V + Int(target)] ? Float(1) : 0
    }
    #expect(try execution.get(program.correct) == correct)
  }

  @Test(
    "gives the same logits through its caches, in pieces of any length",
    arguments: ModelConfig.Architecture.decoders, [[12], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [5, 1, 2, 4]])
  func cached(architecture: ModelConfig.Architecture, pieces: [Int]) throws {
    let model = try Ready(.tiny(architecture))
    let ids = integers(Self.time, below: model.config.vocabularySize, seed: 8)
    let caches = try model.executor.makeParameters(
      model.transformer.cacheLayout(batch: 1, capacity: 16), training: false)
    var found: [Float] = []
    var start = 0
    for count in pieces {
      let program = try model.transformer.cachedProgram(batch: 1, time: count, capacity: 16, logits: .all)
      let execution = try model.executor.prepare(program.program, parameters: model.weights, states: caches)
      try execution.set(program.ids, Array(ids[start..<start + count]))
      try execution.set(program.positions, (start..<start + count).map(Int32.init))
      try execution.run(RunContext())
      found += try execution.get(#require(program.logits))
      start += count
    }
    #expect(relativeError(found, try model.logits(ids).map(Double.init)) < 1e-5)
  }

  @Test("looks at both sides where it fills in tokens", arguments: [ModelConfig.Architecture.encoder, .bert])
  func bothSides(architecture: ModelConfig.Architecture) throws {
    let model = try Ready(.tiny(architecture))
    let V = model.config.vocabularySize
    let ids = integers(Self.time, below: V, seed: 4)
    let before = try model.logits(ids)
    var changed = ids
    changed[Self.time - 1] = (changed[Self.time - 1] + 1) % Int32(V)
    #expect(relativeError(Array(try model.logits(changed)[..<V]), before[..<V].map(Double.init)) > 1e-4)
    #expect(throws: ComputeError.self) {
      try model.transformer.cachedProgram(batch: 1, time: 1, capacity: 4, logits: .all)
    }
  }

  @Test("gives padded rows the logits that they have alone", arguments: ModelConfig.Architecture.allCases)
  func padding(architecture: ModelConfig.Architecture) throws {
    let model = try Ready(.tiny(architecture))
    let V = model.config.vocabularySize
    let lengths = [Self.time, 5, 1]
    let ids = integers(lengths.count * Self.time, below: V, seed: 9)
    let program = try model.transformer.logitsProgram(batch: lengths.count, time: Self.time, mask: .ranges)
    let execution = try model.executor.prepare(program.program, parameters: model.weights, states: nil)
    let isBidirectional = architecture.isBidirectional
    let ranges =
      isBidirectional
      ? KeyRanges.padding(lengths: lengths, time: Self.time)
      : KeyRanges.documents(starts: lengths.map { _ in [0] }, time: Self.time)
    try execution.set(#require(program.ranges), ranges)
    let padded = try program.logits(ids, on: execution)
    for (row, length) in lengths.enumerated() {
      let start = row * Self.time
      let alone = try model.logits(Array(ids[start..<start + length]))
      #expect(
        relativeError(Array(padded[start * V..<(start + length) * V]), alone.map(Double.init)) < 1e-5, "row \(row)")
    }
  }

  @Test("softcaps what it says", arguments: [nil, 2] as [Float?])
  func softcap(limit: Float?) throws {
    var config = ModelConfig.tiny(.nanochat)
    config.softcap = limit
    let model = try Ready(config)
    for entry in model.weights.layout.entries where entry.name == "head" {
      try model.weights.write(.weights, entry, normals(entry.shape.count, seed: 1).map { 10 * $0 })
    }
    let largest = try model.logits([1, 2, 3]).map(abs).max() ?? 0
    #expect((largest <= 2) == (limit != nil))
  }
}
