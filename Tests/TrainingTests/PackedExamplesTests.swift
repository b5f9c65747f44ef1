import Compute
import ComputeCPU
import Corpus
import Evaluation
import Models
import TestSupport
import Testing
import Tokenization
import Training

@Suite("Packed examples")
struct PackedExamplesTests {
  private static let time = 64
  private static let rowsAtOnce = 5

  /// Prompts and answers of many lengths. Each begins with letters of its own, by which it is found again in a row.
  private static func examples(_ tokenizer: Tokenizer) throws -> [AnswerExample] {
    let encoder = Encoder(tokenizer)
    let endOfText = try #require(tokenizer.endOfText)
    func text(_ count: Int, _ stream: UInt32) -> String {
      String(decoding: integers(count, below: 26, seed: 8, stream: stream).map { UInt8($0 + 97) }, as: UTF8.self)
    }
    return (0..<60).map { number in
      let name = "\(UnicodeScalar(UInt8(65 + number / 26)))\(UnicodeScalar(UInt8(65 + number % 26)))"
      let room = time - name.utf8.count  // of letters, with the end of the answer one token more than a row takes
      let (prompt, answer) =
        switch number % 6 {
        case 0: (0, 0)  // the end of an empty answer alone
        case 1: (number, 0)
        case 2: (room - number / 2, number / 2)  // fills a row
        case 3: (number % 20, 1)
        default: (number % 17, number % 23)
        }
      return AnswerExample(
        TaskPrompt(
          prompt: name + text(prompt, UInt32(2 * number)), answer: text(answer, UInt32(2 * number + 1))),
        encoder: encoder, endOfText: endOfText)
    }
  }

  /// The losses of an example's learned tokens where nothing else is computed.
  private static func alone(
    _ example: AnswerExample, _ transformer: Transformer, _ weights: any ParameterStore, _ executor: CPUExecutor
  ) throws -> [Float] {
    let loss = try transformer.lossProgram(batch: 1, time: example.length, training: false, mask: .causal)
    let batch = TokenBatch(rows: 1, time: example.length)
    for t in 0..<example.length { (batch.ids[t], batch.targets[t]) = (example.ids[t], example.ids[t + 1]) }
    let execution = try executor.prepare(loss.program, parameters: weights, states: nil)
    try execution.set(loss.normalizer, [Float(1)])
    try batch.bind(rows: 0..<1, to: loss, of: execution)
    try execution.run(RunContext())
    return try zip(execution.get(loss.losses), example.isLearned.dropFirst()).filter(\.1).map(\.0)
  }

  @Test("have the losses that each has alone", arguments: ModelConfig.Architecture.decoders)
  func alone(architecture: ModelConfig.Architecture) throws {
    let tokenizer = try BPELearner(vocabularySize: 257).learn(from: WordCounts(pattern: .gpt2))
    let examples = try Self.examples(tokenizer)
    #expect(examples.contains { $0.answerTokens == 1 } && examples.contains { $0.length == Self.time })
    let (B, T) = (Self.rowsAtOnce, Self.time)
    let transformer = try Transformer(.tiny(architecture, vocabularySize: 257, context: T))
    let executor = try CPUExecutor(threads: 2)
    let weights = try transformer.randomWeights(on: executor)
    let packed = PackedExamples(examples, context: T)
    #expect(packed.rowCount < examples.count / 2 && packed.rowCount % B != 0)

    let loss = try transformer.lossProgram(batch: B, time: T, training: false, mask: .ranges)
    let execution = try executor.prepare(loss.program, parameters: weights, states: nil)
    try execution.set(loss.normalizer, [Float(1)])
    let batch = TokenBatch(rows: B, time: T, mask: .ranges)
    var isFound = [Bool](repeating: false, count: examples.count)
    for first in stride(from: 0, to: packed.rowCount, by: B) {
      for place in 0..<B { packed.write(first + place < packed.rowCount ? first + place : nil, to: place, of: batch) }
      try batch.bind(rows: 0..<B, to: loss, of: execution)
      try execution.run(RunContext())
      let losses = try execution.get(loss.losses)
      for row in 0..<B {
        var start = row * T
        while let number = examples.firstIndex(where: {
          batch.ids[start..<min(start + $0.length, (row + 1) * T)].elementsEqual($0.ids.dropLast())
        }) {
          let part = start..<start + examples[number].length
          let expected = try Self.alone(examples[number], transformer, weights, executor)
          let found = part.filter { batch.weights[$0] != 0 }.map { losses[$0] }
          #expect(found.count == expected.count && !found.isEmpty)
          for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 1e-5) }
          #expect(!isFound[number])
          isFound[number] = true
          start = part.upperBound
          if start == (row + 1) * T { break }
        }
        // What is left of a row is nothing.
        #expect(batch.weights[start..<(row + 1) * T].allSatisfy { $0 == 0 })
      }
    }
    #expect(isFound.allSatisfy { $0 })
  }

  @Test("of a classifier have the losses that each has alone", arguments: ModelConfig.Architecture.allCases)
  func labelled(architecture: ModelConfig.Architecture) throws {
    let T = Self.time
    var config = ModelConfig.tiny(architecture, context: T)
    config.labels = ["a", "b", "c"]
    let transformer = try Transformer(config)
    let executor = try CPUExecutor(threads: 2)
    let weights = try transformer.randomWeights(on: executor)
    // The first token is the text's number among equals of its label; the rest is random.
    let texts = (0..<54).map { number in
      let length = number % 9 == 0 ? T : 1 + number * 7 % 23
      let rest = integers(length - 1, below: 37, seed: 5, stream: UInt32(number))
      return LabelledText(ids: [Int32(number / 3)] + rest, label: number % 3)
    }

    /// The losses of texts in rows, with their first tokens and labels.
    func losses(_ texts: [LabelledText], time: Int) throws -> [(first: Int32, label: Int32, loss: Float)] {
      let rows = LabelledRows(texts, context: time, config: config, labelWeights: [1, 2, 3])
      let perRow = try #require(rows.perRow)
      let batch = TokenBatch(rows: rows.rowCount, time: time, mask: .ranges, perRow: perRow)
      for row in 0..<rows.rowCount { rows.write(row, to: row, of: batch) }
      let program = try transformer.labelLossProgram(
        batch: rows.rowCount, time: time, perRow: perRow, training: false)
      let execution = try executor.prepare(program.program, parameters: weights, states: nil)
      try execution.set(program.normalizer, [Float(1)])
      try batch.bind(rows: 0..<rows.rowCount, to: program, of: execution)
      try execution.run(RunContext())
      let losses = try execution.get(program.losses)
      return losses.indices.filter { batch.weights[$0] != 0 }.map { index in
        // A pool may be the text's last token alone: its beginning is where position 0 stands.
        var start = index / perRow * time + Int(batch.pools[2 * index])
        while batch.positions[start] != 0 { start -= 1 }
        return (batch.ids[start], batch.targets[index], losses[index])
      }
    }

    let packed = try losses(texts, time: T)
    #expect(packed.count == texts.count)
    for text in texts {
      let alone = try losses([text], time: text.ids.count)
      let found = packed.filter { $0.first == text.ids[0] && $0.label == text.label }
      #expect(alone.count == 1 && found.count == 1)
      for (a, b) in zip(found, alone) { #expect(abs(a.loss - b.loss) <= 1e-5) }
    }
  }
}
