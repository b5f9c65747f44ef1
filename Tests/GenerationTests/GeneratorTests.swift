import Compute
import ComputeCPU
import Foundation
import Generation
import Models
import TestSupport
import Testing
import Tokenization

@Suite("Generation")
struct GeneratorTests {
  private let executor: CPUExecutor
  private let tokenizer: Tokenizer
  private let transformer: Transformer
  private let weights: any ParameterStore

  init() throws {
    executor = try CPUExecutor(threads: 1)
    var counts = WordCounts(pattern: .gpt2)
    counts.add("the weather in the north and the rain, 中文字中文 的文字 the there they")
    tokenizer = try BPELearner(vocabularySize: 290).learn(from: counts)
    // Some ids more than the tokenizer has: they give no text.
    transformer = try Transformer(.tiny(.nanochat, vocabularySize: 300, context: 64))
    weights = try transformer.randomWeights(on: executor)
  }

  private struct Run {
    var result: GenerationResult
    var pieces: [String]
  }

  private func generate(
    _ maxTokens: Int = 120, prompt: [Int32] = [5], stops: [String] = [], endOfText: Int32? = nil,
    tokenizer other: Tokenizer?? = .none, seed: UInt64 = 3, cancelAfter: Int = .max
  ) throws -> Run {
    var options = SamplingOptions()
    options.seed = seed
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    let generator = Generator(session, tokenizer: other ?? tokenizer, endOfText: endOfText)
    var pieces: [String] = []
    let result = try generator.generate(prompt: prompt, maxTokens: maxTokens, options: options, stops: stops) { text in
      pieces.append(text)
      return pieces.count < cancelAfter
    }
    return Run(result: result, pieces: pieces)
  }

  @Test("gives as many tokens as asked for, and the same for the same seed")
  func length() throws {
    let run = try generate()
    #expect(run.result.ids.count == 120)
    #expect(run.result.finishReason == .length)
    #expect(try generate().result.ids == run.result.ids)
    #expect(try generate(seed: 4).result.ids != run.result.ids)
    #expect(try generate(0).result.ids == [])
    #expect(try generate(7).result.ids == Array(run.result.ids.prefix(7)))
  }

  @Test("tells whoever listens the text as it comes, in whole characters")
  func pieces() throws {
    for seed in 0..<5 as Range<UInt64> {
      let run = try generate(seed: seed)
      #expect(run.pieces.joined() == run.result.text)
      #expect(run.pieces.allSatisfy { !$0.isEmpty })
      #expect(!run.result.text.unicodeScalars.contains("\u{FFFD}"))
      #expect(!run.result.text.isEmpty)
    }
  }

  @Test("ends before a stop text, of which nothing is shown")
  func stops() throws {
    let whole = try generate().result.text
    let start = whole.index(whole.startIndex, offsetBy: whole.count / 2)
    for length in [1, 2, 5] {
      let stop = String(whole[start...].prefix(length))
      let first = try #require(whole.range(of: stop, options: .literal))
      let run = try generate(stops: ["never there", stop])
      #expect(run.result.text == whole[..<first.lowerBound])
      #expect(run.pieces.joined() == run.result.text)
      #expect(run.result.finishReason == .stop)
      #expect(run.result.ids.count < 120)
    }
  }

  @Test("shows what was held back when nothing more comes")
  func flush() throws {
    let whole = try generate().result.text
    let run = try generate(stops: [whole.suffix(3) + " and something else"])
    #expect(run.result.text == whole)
    #expect(run.pieces.joined() == whole)
    #expect(run.result.finishReason == .length)
  }

  @Test("ends where the model ends the document")
  func endOfText() throws {
    let ids = try generate().result.ids
    let end = ids[40]
    let run = try generate(endOfText: end)
    #expect(run.result.ids == Array(ids.prefix { $0 != end }))
    #expect(run.result.finishReason == .stop)
  }

  @Test("ends when whoever listens has enough")
  func cancel() throws {
    let run = try generate(cancelAfter: 3)
    #expect(run.pieces.count == 3)
    #expect(run.result.finishReason == .cancelled)
  }

  @Test("gives ids without a tokenizer")
  func idsOnly() throws {
    let run = try generate(tokenizer: .some(nil))
    #expect(run.result.ids == (try generate().result.ids))
    #expect(run.result.text == "" && run.pieces == [])
  }
}
