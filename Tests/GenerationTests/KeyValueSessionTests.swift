import Compute
import ComputeCPU
import Generation
import Models
import TestSupport
import Testing

@Suite("A key/value session")
struct KeyValueSessionTests {
  private let executor: CPUExecutor

  init() throws { executor = try CPUExecutor(threads: 1) }

  private func ready(
    _ architecture: ModelConfig.Architecture, context: Int
  ) throws -> (transformer: Transformer, weights: any ParameterStore) {
    let transformer = try Transformer(.tiny(architecture, context: context))
    return (transformer, try transformer.randomWeights(on: executor))
  }

  /// Logits behind the last id, computed anew without a cache.
  private func expected(_ ids: [Int32], _ transformer: Transformer, _ weights: any ParameterStore) throws -> [Double] {
    let program = try transformer.logitsProgram(batch: 1, time: ids.count)
    let execution = try executor.prepare(program.program, parameters: weights, states: nil)
    return try program.logits(ids, on: execution).suffix(transformer.config.vocabularySize).map(Double.init)
  }

  @Test("says what a pass over the whole text says", arguments: ModelConfig.Architecture.decoders)
  func pieces(architecture: ModelConfig.Architecture) throws {
    let (transformer, weights) = try ready(architecture, context: 16)
    let ids = integers(14, below: 37, seed: 1)
    for pieces in [[14], [Int](repeating: 1, count: 14), [3, 1, 1, 5, 4]] {
      let session = try KeyValueSession(transformer, weights: weights, executor: executor)
      var end = 0
      for count in pieces {
        let logits = try session.append(Array(ids[end..<end + count]))
        end += count
        #expect(relativeError(logits, try expected(Array(ids[..<end]), transformer, weights)) < 1e-5)
      }
    }
  }

  @Test("says the same whatever the length of the prompt and of the room behind it")
  func lengths() throws {
    let (transformer, weights) = try ready(.qwen3, context: 80)
    let ids = integers(75, below: 37, seed: 7)
    // Passes that are full, and not, with room for what fills them up and without; then on from there, token by token.
    for room in [0, 1, 5] {
      for length in [2, 3, 5, 11, 24, 31, 47, 49, 63, 65, 70] {
        let session = try KeyValueSession(
          transformer, weights: weights, executor: executor, longest: length + room)
        _ = try session.append([ids[0]])
        var logits = try session.append(Array(ids[1..<length]))
        #expect(relativeError(logits, try expected(Array(ids[..<length]), transformer, weights)) < 1e-5)
        for end in length..<length + room {
          logits = try session.append([ids[end]])
          #expect(relativeError(logits, try expected(Array(ids[...end]), transformer, weights)) < 1e-5)
        }
      }
    }
  }

  @Test("goes on from any token that it has read")
  func rewind() throws {
    let (transformer, weights) = try ready(.llama, context: 16)
    let ids = integers(9, below: 37, seed: 5)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    _ = try session.append(ids)
    for count in [6, 0] {
      session.rewind(to: count)
      let logits = try session.append([1, 2])
      #expect(relativeError(logits, try expected(ids[..<count] + [1, 2], transformer, weights)) < 1e-5)
    }
  }

  @Test("takes any other text for the one before")
  func another() throws {
    let (transformer, weights) = try ready(.llama, context: 16)
    let ids = integers(12, below: 37, seed: 5)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    // Goes on; is the same; ends earlier; turns off; has nothing in common.
    let texts: [[Int32]] = [
      Array(ids[..<7]), ids, ids, Array(ids[..<5]), ids[..<4] + [1, 2, 3], [36 - ids[0], 4],
    ]
    for text in texts {
      let logits = try session.logits(behind: text)
      #expect(relativeError(logits, try expected(text, transformer, weights)) < 1e-5)
    }
    let long = integers(20, below: 37, seed: 6)
    #expect(relativeError(try session.logits(behind: long), try expected(long.suffix(8), transformer, weights)) < 1e-5)
    // What was forgotten isn't taken for read.
    #expect(relativeError(try session.logits(behind: ids), try expected(ids, transformer, weights)) < 1e-5)
  }

  @Test("reads a prompt that is longer than what it reads at once")
  func longPrompt() throws {
    let (transformer, weights) = try ready(.qwen3, context: 700)
    let ids = integers(600, below: 37, seed: 2)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    #expect(relativeError(try session.append(ids), try expected(ids, transformer, weights)) < 1e-4)
  }

  @Test("goes on from the newer half when the context is full", arguments: ModelConfig.Architecture.decoders)
  func overflow(architecture: ModelConfig.Architecture) throws {
    let (transformer, weights) = try ready(architecture, context: 8)
    let ids = integers(30, below: 37, seed: 3)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    var window: [Int32] = []
    for id in ids {
      window = window.count == 8 ? window.suffix(3) + [id] : window + [id]
      #expect(relativeError(try session.append([id]), try expected(window, transformer, weights)) < 1e-5)
    }
  }

  @Test("takes the end of a prompt that doesn't fit")
  func tooLong() throws {
    let (transformer, weights) = try ready(.gpt2, context: 8)
    let ids = integers(30, below: 37, seed: 4)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    #expect(relativeError(try session.append(ids), try expected(ids.suffix(4), transformer, weights)) < 1e-5)
  }

  @Test("says the same with room for no more tokens than are asked for")
  func room() throws {
    let (transformer, weights) = try ready(.qwen3, context: 64)
    let ids = integers(9, below: 37, seed: 5)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor, longest: ids.count)
    for end in 1...ids.count {
      let logits = try session.append([ids[end - 1]])
      #expect(relativeError(logits, try expected(Array(ids[..<end]), transformer, weights)) < 1e-5)
    }
  }

  @Test("works with a context of one token")
  func tiny() throws {
    let (transformer, weights) = try ready(.llama, context: 1)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    for id in [3, 5, 7] as [Int32] {
      #expect(relativeError(try session.append([id]), try expected([id], transformer, weights)) < 1e-5)
    }
  }

  @Test("gives the logits behind every token, and begins anew", arguments: ModelConfig.Architecture.decoders)
  func scores(architecture: ModelConfig.Architecture) throws {
    let (transformer, weights) = try ready(architecture, context: 200)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    for seed in [6, 7] as [UInt64] {
      session.rewind(to: 0)
      let ids = integers(150, below: 37, seed: seed)
      var rows: [[Float]] = []
      try session.score(ids) { rows.append(Array($0)) }
      #expect(rows.count == ids.count)
      for end in [1, 64, 65, 127, 150] {
        #expect(relativeError(rows[end - 1], try expected(Array(ids[..<end]), transformer, weights)) < 1e-4)
      }
    }
  }

  @Test("goes on from any place that it is rewound to, to the same bits")
  func rewinds() throws {
    let (transformer, weights) = try ready(.qwen3, context: 64)
    let session = try KeyValueSession(transformer, weights: weights, executor: executor)
    let ids = integers(40, below: 37, seed: 8)
    try session.read(Array(ids.dropLast()))
    let first = try session.append(ids.suffix(1))
    for id in [1, 2, 3] as [Int32] { _ = try session.append([id]) }
    session.rewind(to: ids.count - 1)
    #expect(try session.append(ids.suffix(1)) == first)
    session.rewind(to: 0)
    let whole = try session.append(ids)
    #expect(relativeError(whole, first.map(Double.init)) < 1e-5)
    session.rewind(to: 0)
    #expect(try session.append(ids) == whole)
  }
}
