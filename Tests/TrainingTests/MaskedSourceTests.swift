import Compute
import ComputeCPU
import Corpus
import Evaluation
import Models
import TestSupport
import Testing
import Tokenization
import Training

@Suite("Masked rows")
struct MaskedSourceTests {
  /// Rows of a text without end: token i is i % 40 + 1.
  private final class Counting: BatchSource {
    private var next: Int32
    init(startRow: Int, time: Int) { next = Int32(startRow * time) }
    var mask: MaskKind { .causal }
    var dataWaitSeconds: Double { 0 }
    func move(to place: DataPlace) { next = Int32(place.row * 32) }
    func next(_ batch: TokenBatch) {
      for index in batch.ids.indices {
        batch.ids[index] = next % 40 + 1
        next += 1
      }
    }
  }

  private static let mask: Int32 = 41
  private static let time = 32

  private struct Row: Equatable {
    var ids: [Int32], targets: [Int32], weights: [Float]
  }

  private static func rows(_ count: Int, from start: Int = 0, inBatchesOf size: Int = 4, seed: UInt64? = 3) throws
    -> [Row]
  {
    let masking = Masking(maskToken: mask, vocabularySize: 42, tokenizer: nil, seed: seed)
    let source = MaskedSource(Counting(startRow: start, time: time), masking: masking, startRow: start)
    let batch = TokenBatch(rows: size, time: time)
    var rows: [Row] = []
    while rows.count < count {
      try source.next(batch)
      for row in 0..<size {
        let part = row * time..<(row + 1) * time
        rows.append(
          Row(ids: Array(batch.ids[part]), targets: Array(batch.targets[part]), weights: Array(batch.weights[part])))
      }
    }
    return rows
  }

  @Test("hide 15 % of the tokens: 80 % behind the mask, 10 % behind another token, 10 % not at all")
  func shares() throws {
    let rows = try Self.rows(2000)
    var (chosen, masked, same) = (0, 0, 0)
    for (number, row) in rows.enumerated() {
      for t in 0..<Self.time {
        let token = Int32(number * Self.time + t) % 40 + 1
        #expect(row.targets[t] == token)
        guard row.weights[t] != 0 else {
          #expect(row.ids[t] == token)
          continue
        }
        #expect(row.weights[t] == 1)
        chosen += 1
        masked += row.ids[t] == Self.mask ? 1 : 0
        same += row.ids[t] == token ? 1 : 0
      }
    }
    let total = Double(rows.count * Self.time)
    #expect(abs(Double(chosen) / total - 0.15) < 0.006)
    #expect(abs(Double(masked) / Double(chosen) - 0.8) < 0.02)
    // One of 41 replacements is the token itself.
    #expect(abs(Double(same) / Double(chosen) - 0.1 - 0.1 / 41) < 0.015)
  }

  @Test("are a function of the seed and of the row's number in the run")
  func deterministic() throws {
    let rows = try Self.rows(24)
    #expect(try Self.rows(24, inBatchesOf: 1) == rows)
    #expect(try Self.rows(12, from: 12) == Array(rows[12...]))
    #expect(try Self.rows(24, seed: 4) != rows)
    #expect(rows[0].weights != rows[5].weights)
  }

  @Test("show only the mask where a model is measured, and never hide special tokens or padding")
  func evaluation() throws {
    let tokenizer = try BPELearner(vocabularySize: 300).learn(from: WordCounts(pattern: .gpt2)).withMaskToken()
    let mask = try #require(tokenizer.maskToken)
    let end = try #require(tokenizer.endOfText)
    let masking = Masking(
      maskToken: mask, vocabularySize: tokenizer.vocabularySize, tokenizer: tokenizer, seed: nil)
    let batch = TokenBatch(rows: 1, time: 1000)
    for index in batch.ids.indices { batch.ids[index] = index.isMultiple(of: 3) ? end : 100 }
    masking.hide(row: 0, count: 900, ids: batch.ids[...], targets: batch.targets[...], weights: batch.weights[...])
    let chosen = batch.ids.indices.filter { batch.weights[$0] != 0 }
    #expect(chosen.count > 50)
    #expect(chosen.allSatisfy { batch.ids[$0] == mask && batch.targets[$0] == 100 && $0 < 900 })
    #expect(batch.ids.indices.count { batch.ids[$0] == mask } == chosen.count)
  }

  @Test("teach a model what can be filled in", arguments: [ModelConfig.Architecture.encoder, .bert])
  func learns(architecture: ModelConfig.Architecture) throws {
    var settings = tinySettings(architecture, vocabularySize: 42)
    settings.train.batchSize = 16
    settings.train.learningRate = 3e-3
    let executor = try CPUExecutor(threads: 2)
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(transformer.parameterLayout, training: true)
    try Initialization(settings.model).fill(store, seed: 1)
    let masking = Masking(maskToken: Self.mask, vocabularySize: 42, tokenizer: nil, seed: 1)
    let source = MaskedSource(Counting(startRow: 0, time: 16), masking: masking)
    let update = try UpdateStep(
      transformer, settings: settings.train, mask: source.mask, store: store, executor: executor)
    var accuracy = 0.0
    for step in 1...300 {
      let result = try update.run(step: step, firstMicroStep: step, rateFactor: 1, source: source)
      accuracy = 0.9 * accuracy + 0.1 * result.accuracy
    }
    // Guessing gives 1 in 40.
    #expect(accuracy > 0.25)
  }
}

@Suite("A mask token")
struct MaskTokenTests {
  @Test("that a tokenizer lacks comes behind its other ids, and changes none of them")
  func added() throws {
    let tokenizer = try BPELearner(vocabularySize: 300).learn(from: WordCounts(pattern: .gpt2))
    #expect(tokenizer.maskToken == nil)
    let masked = try tokenizer.withMaskToken()
    #expect(masked.maskToken == Int32(tokenizer.vocabularySize))
    #expect(masked.vocabularySize == tokenizer.vocabularySize + 1)
    #expect(masked.encode("a <|mask|> b", specialTokens: true).contains(try #require(masked.maskToken)))
    #expect(masked.encode("a b", specialTokens: false) == tokenizer.encode("a b", specialTokens: false))
    #expect(try masked.withMaskToken().vocabularySize == masked.vocabularySize)
    #expect(masked.endOfText == tokenizer.endOfText)
  }
}
