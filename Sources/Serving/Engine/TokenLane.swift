import Generation
import Tokenization

/// Where in a text each token begins, in Unicode scalars.
struct OffsetCounter {
  private var decoder: StreamingDecoder?
  private var count = 0

  init(_ tokenizer: Tokenizer?, skipSpecialTokens: Bool = true, behind prompt: [Int32] = []) {
    decoder = tokenizer.map { StreamingDecoder($0, skipSpecialTokens: skipSpecialTokens, behind: prompt) }
  }

  mutating func next(_ id: Int32) -> Int {
    defer { count += decoder?.append(id).unicodeScalars.count ?? 0 }
    return count
  }
}

/// Keeps the scores of tokens until their text is certain, so that no token of a stop text is shown.
struct TokenLane {
  private var offsets: OffsetCounter
  private var held: [TokenScore] = []
  /// Unicode scalars that were let through.
  private var released = 0

  init(_ tokenizer: Tokenizer?, behind prompt: [Int32] = []) { offsets = OffsetCounter(tokenizer, behind: prompt) }

  mutating func add(_ id: Int32, _ probabilities: LogProbabilities, top: Int, isEnd: Bool) {
    held.append(
      TokenScore(
        id: id, logProbability: probabilities[id], alternatives: probabilities.top(top),
        offset: isEnd ? released : offsets.next(id), isEnd: isEnd))
  }

  /// The tokens that begin inside of the text shown so far, `text` being what is new of it.
  mutating func release(with text: String) -> [TokenScore] {
    released += text.unicodeScalars.count
    let count = held.prefix { $0.offset < released }.count
    defer { held.removeFirst(count) }
    return Array(held[..<count])
  }

  /// What is left at the end: tokens without text. Those of a stop text are not shown.
  func finish(reason: GenerationResult.FinishReason) -> [TokenScore] {
    let endedByText = reason == .stop && held.last?.isEnd != true
    return endedByText ? [] : held
  }
}
