import Compute
import ComputeCPU
import Corpus
import Evaluation
import Formats
import Foundation
import Generation
import Models
import TestSupport
import Testing
import Tokenization

@Suite("Evaluation")
struct EvaluatorTests {
  private static let vocabulary = 270
  private let folder: TemporaryFolder
  private let tokenizer: Tokenizer

  init() throws {
    folder = try TemporaryFolder()
    tokenizer = try BPELearner(vocabularySize: Self.vocabulary).learn(from: WordCounts(pattern: .gpt2))
  }

  /// Shards of random ids, some of them the special token 0.
  private func shards(_ counts: [Int]) throws -> (shards: [TokenShard], ids: [Int32]) {
    var all: [Int32] = []
    let shards = try counts.enumerated().map { index, count in
      let ids = integers(count, below: 257, seed: 9, stream: UInt32(index)).map { $0 % 5 == 0 ? 0 : $0 }
      all += ids
      let path = folder.file("val-\(index)-\(count).bin")
      let writer = try TokenShardWriter(path: path, vocabularySize: Self.vocabulary)
      try writer.append(ids)
      try writer.commit()
      return try TokenShard(path: path)
    }
    return (shards, all)
  }

  /// The definition: row by row in fp64, every token but the first predicted once.
  private func expected(
    _ ids: [Int32], _ transformer: Transformer, context: Int
  ) throws -> (nats: Double, correct: Int) {
    let executor = ReferenceExecutor()
    let weights = try transformer.randomWeights(on: executor)
    let V = transformer.config.vocabularySize
    var nats = 0.0
    var correct = 0
    for start in stride(from: 0, to: ids.count - 1, by: context) {
      let row = Array(ids[start..<min(ids.count, start + context + 1)])
      let program = try transformer.logitsProgram(batch: 1, time: row.count - 1)
      let execution = executor.prepare(program.program, parameters: weights, states: nil)
      let logits = try program.logits(Array(row.dropLast()), on: execution).map(Double.init)
      for (t, target) in row.dropFirst().enumerated() {
        let z = Array(logits[t * V..<(t + 1) * V])
        nats += log(z.reduce(0) { $0 + exp($1) }) - z[Int(target)]
        correct += z.max() == z[Int(target)] ? 1 : 0
      }
    }
    return (nats, correct)
  }

  @Test(
    "predicts every token but the first once, wherever shards end",
    arguments: ModelConfig.Architecture.decoders, [[2], [7, 5, 20], [19], [1, 1, 5], [6, 6, 13]])
  func everyToken(architecture: ModelConfig.Architecture, counts: [Int]) throws {
    let transformer = try Transformer(.tiny(architecture, vocabularySize: Self.vocabulary, context: 6))
    let executor = try CPUExecutor(threads: 1)
    let weights = try transformer.randomWeights(on: executor)
    let (shards, ids) = try shards(counts)
    let (nats, correct) = try expected(ids, transformer, context: 6)
    for batch in [1, 3] {
      let evaluator = try Evaluator(transformer, weights: weights, executor: executor, batch: batch, time: 6)
      let result = try evaluator.evaluate(
        EvaluationRows(shards, batchSize: batch, context: 6), bytes: TokenBytes(tokenizer))
      #expect(result.tokens == ids.count - 1)
      #expect(abs(result.nats - nats) <= 1e-5 * nats)
      #expect(result.correct == correct)
      // Token 0 is special: it has no bytes; the others have one.
      let bytes = ids.dropFirst().count { $0 != 0 }
      #expect(result.bytes == bytes)
      #expect(result.loss == result.nats / Double(ids.count - 1))
      #expect(result.perplexity == exp(result.loss))
      #expect(result.bitsPerByte == (bytes > 0 ? result.nats / (log(2) * Double(bytes)) : nil))
      #expect(result.accuracy == Double(correct) / Double(ids.count - 1))
    }
  }

  @Test("is nothing but repeatable, and knows no bytes without a tokenizer")
  func repeatable() throws {
    let transformer = try Transformer(.tiny(.gpt2, vocabularySize: Self.vocabulary, context: 6))
    let executor = try CPUExecutor(threads: 2)
    let weights = try transformer.randomWeights(on: executor)
    let evaluator = try Evaluator(transformer, weights: weights, executor: executor, batch: 2, time: 6)
    let rows = try EvaluationRows(shards([40]).shards, batchSize: 2, context: 6)
    let first = try evaluator.evaluate(rows, bytes: nil)
    #expect(try evaluator.evaluate(rows, bytes: nil) == first)
    #expect(first.bytes == nil && first.bitsPerByte == nil)
  }

  @Test("looks at no more batches than a limit asks for")
  func limit() throws {
    let transformer = try Transformer(.tiny(.gpt2, vocabularySize: Self.vocabulary, context: 6))
    let executor = try CPUExecutor(threads: 1)
    let weights = try transformer.randomWeights(on: executor)
    let evaluator = try Evaluator(transformer, weights: weights, executor: executor, batch: 2, time: 6)
    let rows = try EvaluationRows(shards([40]).shards, batchSize: 2, context: 6)
    for (limit, tokens) in [(1, 12), (12, 12), (13, 24), (1000, 39)] {
      #expect(try evaluator.evaluate(rows, bytes: nil, limit: limit).tokens == tokens)
    }
  }

  @Test("within a limit takes its batches from everywhere in the split")
  func spread() {
    #expect(Evaluator.batches(of: 10, size: 4, limit: nil) == Array(0..<10))
    #expect(Evaluator.batches(of: 10, size: 4, limit: 12) == [0, 3, 6])
    #expect(Evaluator.batches(of: 10, size: 4, limit: 13) == [0, 2, 5, 7])
    #expect(Evaluator.batches(of: 10, size: 4, limit: 1000) == Array(0..<10))
    #expect(Evaluator.batches(of: 0, size: 4, limit: 1) == [])
  }

  @Test("of nothing is no number, and no trap")
  func nothing() {
    let result = EvaluationResult(bytes: 0)
    #expect(result.loss.isNaN && result.accuracy.isNaN && result.bitsPerByte == nil)
  }
}

@Suite("Scoring")
struct ScorerTests {
  @Test("adds up to what evaluation says", arguments: ModelConfig.Architecture.decoders, [2, 6, 7, 8, 25])
  func equalsEvaluation(architecture: ModelConfig.Architecture, count: Int) throws {
    let folder = try TemporaryFolder()
    let transformer = try Transformer(.tiny(architecture, context: 6))
    let executor = try CPUExecutor(threads: 1)
    let weights = try transformer.randomWeights(on: executor)
    let ids = integers(count, below: 37, seed: 12)
    let writer = try TokenShardWriter(path: folder.file("val.bin"), vocabularySize: 37)
    try writer.append(ids)
    try writer.commit()
    let evaluator = try Evaluator(transformer, weights: weights, executor: executor, batch: 2, time: 6)
    let rows = try EvaluationRows([TokenShard(path: folder.file("val.bin"))], batchSize: 2, context: 6)
    let result = try evaluator.evaluate(rows, bytes: nil)

    let score = try Scorer(transformer, weights: weights, executor: executor).score(ids)
    #expect(score.logProbabilities.count == count)
    #expect(score.logProbabilities[0] == nil)
    let nats = -score.logProbabilities.compactMap(\.self).reduce(0, +)
    #expect(score.logProbabilities.compactMap(\.self).count == count - 1)
    #expect(abs(nats - result.nats) <= 1e-5 * result.nats)
  }

  @Test("lists alternatives, most likely first, with probabilities that add up to 1")
  func alternatives() throws {
    let transformer = try Transformer(.tiny(.llama, context: 6))
    let executor = try CPUExecutor(threads: 1)
    let scorer = Scorer(transformer, weights: try transformer.randomWeights(on: executor), executor: executor)
    let ids = integers(9, below: 37, seed: 13)
    let all = try scorer.score(ids, top: 100)
    let three = try scorer.score(ids, top: 3)
    try #require(all.alternatives.count == 9 && three.alternatives.count == 9)
    #expect(all.alternatives[0].isEmpty)
    for t in 1..<9 {
      let list = all.alternatives[t]
      #expect(list.count == 37)
      #expect(abs(list.reduce(0) { $0 + exp($1.logProbability) } - 1) < 1e-9)
      #expect(zip(list, list.dropFirst()).allSatisfy { $0.logProbability >= $1.logProbability })
      #expect(list.first { $0.id == ids[t] }?.logProbability == all.logProbabilities[t])
      #expect(three.alternatives[t].map(\.id) == list.prefix(3).map(\.id))
    }
  }

  @Test("of a single token, or none, predicts nothing")
  func short() throws {
    let transformer = try Transformer(.tiny(.gpt2))
    let executor = try CPUExecutor(threads: 1)
    let scorer = Scorer(transformer, weights: try transformer.randomWeights(on: executor), executor: executor)
    #expect(try scorer.score([]).logProbabilities.isEmpty)
    #expect(try scorer.score([4], top: 2).logProbabilities == [nil])
  }
}
